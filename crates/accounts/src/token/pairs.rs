//! The password of a Token login: `R|<token>|W|<token>`, in any order.

use super::{TokenError, TokenType};

/// One for each type.
const PAIRS_MAX: usize = TokenType::ALL.len();

/// # Errors
/// [`TokenError::Type`]: an odd number of parts, an unknown or a repeated type, or nothing at all.
pub(crate) fn pairs(password: &str) -> Result<Vec<(TokenType, &str)>, TokenError> {
    let mut parts = password.split('|');
    let mut pairs: Vec<(TokenType, &str)> = Vec::with_capacity(PAIRS_MAX);
    while let Some(name) = parts.next() {
        let (token_type, token) =
            (TokenType::of_name(name).ok_or(TokenError::Type)?, parts.next().ok_or(TokenError::Type)?);
        if pairs.iter().any(|(known, _)| *known == token_type) {
            return Err(TokenError::Type);
        }
        pairs.push((token_type, token));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_any_order_and_each_type_once() {
        use TokenType::{Read, ReadWrite, Write};
        let table = [
            ("R|123", Ok(vec![(Read, "123")])),
            ("R|123|W|abcd", Ok(vec![(Read, "123"), (Write, "abcd")])),
            ("W|abcd|R|123", Ok(vec![(Write, "abcd"), (Read, "123")])),
            ("RW|tok", Ok(vec![(ReadWrite, "tok")])),
            ("RW|a+/=|W|b|R|c", Ok(vec![(ReadWrite, "a+/="), (Write, "b"), (Read, "c")])),
            ("R|", Ok(vec![(Read, "")])),
            ("", Err(TokenError::Type)),
            ("R", Err(TokenError::Type)),
            ("R|123|", Err(TokenError::Type)),
            ("R|123|W", Err(TokenError::Type)),
            ("R|1|R|2", Err(TokenError::Type)),
            ("R|1|W|2|RW|3|R|4", Err(TokenError::Type)),
            ("r|1", Err(TokenError::Type)),
            ("WR|1", Err(TokenError::Type)),
            ("X|1", Err(TokenError::Type)),
            ("|1", Err(TokenError::Type)),
            (" R|1", Err(TokenError::Type)),
        ];
        for (password, expected) in table {
            assert_eq!(pairs(password), expected, "{password}");
        }
    }

    #[test]
    fn a_password_of_bars_is_refused_at_its_first() {
        assert_eq!(pairs(&"|".repeat(1 << 16)), Err(TokenError::Type));
    }
}
