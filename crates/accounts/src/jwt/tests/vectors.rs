//! The published examples. Their claims are not for us, so that what is asked is how far each comes.

use super::*;

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn joes(own: Vec<VerifyingKey>, jwks: Option<Value>) -> Issuer {
    let issuer = Issuer::new(IssuerRules { issuer: "joe".to_owned(), ..rules("joe") }, own, true);
    if let Some(jwks) = jwks {
        issuer.fetch_ended(Some(PublicKeys::from_jwks(jwks.to_string().as_bytes()).unwrap()));
    }
    issuer
}

/// Right but for its audience; and wrong with any bit of its signature changed.
fn verify(issuer: &Issuer, header: &str, signature: &str) {
    let right = format!("{header}.{JOE}.{signature}");
    assert_eq!(issuer.verify(&right), Err(JwtError::Audience), "{header}");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{header}.{JOE}.{other}{}", &signature[1..]);
    assert_eq!(issuer.verify(&wrong), Err(JwtError::Signature), "{header}");
}

/// RFC 7515 A.1.
#[test]
fn hs256_with_a_shared_secret() {
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = VerifyingKey::from_secret(&URL_SAFE_NO_PAD.decode(secret).unwrap()).unwrap();
    let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    verify(&joes(vec![key], None), "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", signature);
}

const A2_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-\
                    SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UT\
                    o7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM\
                    Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGb\
                            ds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0G\
                            arZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6Lbg\
                            GY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515 A.2.
#[test]
fn rs256() {
    let jwks = json!({ "keys": [{ "kty": "RSA", "n": A2_N, "e": "AQAB" }] });
    verify(&joes(Vec::new(), Some(jwks)), "eyJhbGciOiJSUzI1NiJ9", A2_SIGNATURE);
}

/// RFC 7515 A.3.
#[test]
fn es256() {
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    verify(&joes(Vec::new(), Some(jwks)), "eyJhbGciOiJFUzI1NiJ9", signature);
}

/// RFC 7515 A.4 and A.5: algorithms that are not taken, whatever the signature is.
#[test]
fn es512_and_none_are_not_taken() {
    let issuer = joes(vec![Signer::ed25519("k1").key()], None);
    for header in ["eyJhbGciOiJFUzUxMiJ9", "eyJhbGciOiJub25lIn0"] {
        assert_eq!(issuer.verify(&format!("{header}.{JOE}.")), Err(JwtError::Algorithm));
    }
}

/// RFC 8037 A.4 and A.5; its payload is no JSON, which is found once the signature is right.
#[test]
fn ed25519() {
    let jwks =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let issuer = joes(Vec::new(), Some(jwks));
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(issuer.verify(&format!("{signed}.{signature}")), Err(JwtError::Malformed));
    assert_eq!(issuer.verify(&format!("{signed}.A{}", &signature[1..])), Err(JwtError::Signature));
}
