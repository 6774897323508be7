//! The authority of client certificates, from the configuration to the TLS listener; its revocation lists are looked at again as
//! long as the process runs.
//!
//! At the start a file that cannot be used keeps the server from starting. Later it changes nothing: the list before stays in
//! force, and the owner is told in the log and by the health of the server, also of a list that is past its time.

use super::Fatal;
use crate::config::ClientCertificatesConfig;
use accounts::certificate::{ClientAuthority, LIST_BYTES_MAX, RevocationList};
use anyhow::{Context, Result, anyhow};
use clock::Clock;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Connections of all workers are judged within a moment.
const JUDGE_TAKES_MAX: Duration = Duration::from_secs(10);
const NOT_JUDGED: &str = "the broker does not answer: connections that the revocation lists void may stand; restart the server if it stays so";
/// A CA bundle with hundreds of authorities.
const BUNDLE_BYTES_MAX: usize = 1 << 20;
const REMEDY: &str =
    "name a file that the user who runs convoke can read, with what the reference of the configuration says";

/// An authority, and the files of its lists.
pub(super) struct ClientCertificates {
    pub(super) authority: ClientAuthority,
    files: Vec<ListFile>,
}

struct ListFile {
    path: PathBuf,
    /// As it was when the list was read.
    stamp: Stamp,
    list: Arc<RevocationList>,
    /// What it has become since then, and why that is not used: it is not read again before it changes.
    refused: Option<(Stamp, String)>,
}

/// What changes with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
    /// Seconds and nanoseconds; also by a rename.
    changed: (i64, i64),
}

impl ClientCertificates {
    /// # Errors
    /// A file cannot be used.
    pub(super) fn load(config: &ClientCertificatesConfig) -> Result<Self> {
        let of_key = |path: &Path, key: &str| {
            format!("cannot use {} of client_certificates.{key}\n  remedy: {REMEDY}", path.display())
        };
        let authority = read(&config.ca, BUNDLE_BYTES_MAX)
            .and_then(|(bundle, _)| Ok(ClientAuthority::new(&bundle, config.is_required)?))
            .with_context(|| of_key(&config.ca, "ca"))?;
        let mut files = Vec::new();
        for path in &config.lists {
            let file = ListFile::read(path, &authority).with_context(|| of_key(path, "revocation_lists"))?;
            files.push(file);
        }
        let all = files.iter().map(|file| Arc::clone(&file.list)).collect();
        authority
            .put_lists(all)
            .context("the files of client_certificates.revocation_lists cannot be used together")?;
        Ok(Self { authority, files })
    }

    /// Ends with the current run time. `judge`: ends the connections that lists void. Returns what its owner should look at, if
    /// there is anything.
    pub(super) fn follow(
        mut self,
        judge: impl Fn() -> oneshot::Receiver<()> + Send + 'static,
        clock: Clock,
        fatal: Fatal,
    ) -> watch::Receiver<Option<String>> {
        let (complain, complaint) = watch::channel(None);
        tokio::spawn(async move {
            // Connections are to be judged, until the broker answers that they were.
            let mut is_due = false;
            loop {
                let now_ms = clock.now_ms();
                // A long list takes a while to read.
                let looked = tokio::task::spawn_blocking(move || {
                    let looked = self.look(now_ms);
                    (self, looked)
                });
                let (back, (has_changed, mut said)) = match looked.await {
                    Ok(looked) => looked,
                    Err(error) if error.is_panic() => {
                        return fatal("reading a revocation list of client certificates has failed".to_owned());
                    }
                    // The run time ends.
                    Err(_) => return,
                };
                self = back;
                if has_changed {
                    info!("a revocation list of client certificates has changed");
                }
                is_due |= has_changed;
                if is_due {
                    match tokio::time::timeout(JUDGE_TAKES_MAX, judge()).await {
                        Ok(judged) => is_due = judged.is_err(),
                        Err(_) => said = Some(NOT_JUDGED.to_owned()),
                    }
                }
                complain.send_if_modified(|before| {
                    let is_news = *before != said;
                    if let Some(why) = said.as_ref().filter(|_| is_news) {
                        warn!(why, "a revocation list of client certificates is not what it should be");
                    }
                    *before = said;
                    is_news
                });
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        complaint
    }

    /// Whether another list is in force, and what is wrong.
    fn look(&mut self, now_ms: u64) -> (bool, Option<String>) {
        let (mut has_changed, mut wrong) = (false, None);
        for at in 0..self.files.len() {
            match self.look_at(at) {
                Ok(is_new) => has_changed |= is_new,
                Err(error) => wrong = Some(format!("{}: {error:#}", self.files[at].path.display())),
            }
        }
        let late = self.files.iter().find(|file| file.list.due_at_ms.is_some_and(|due_at_ms| due_at_ms < now_ms));
        let late = late.map(|file| format!("{}: the next list is due, this one goes on to count", file.path.display()));
        let without = self.authority.without_list().into_iter().next().map(|name| {
            format!("{name} has no list, so that its certificates are refused: add one to client_certificates.revocation_lists")
        });
        (has_changed, wrong.or(without).or(late))
    }

    fn look_at(&mut self, at: usize) -> Result<bool> {
        let file = &self.files[at];
        let stamp = Stamp::of(&fs::metadata(&file.path).context("it is not there")?)?;
        if stamp == file.stamp {
            return Ok(false);
        }
        if let Some((_, why)) = file.refused.as_ref().filter(|(refused, _)| *refused == stamp) {
            return Err(anyhow!("{why}"));
        }
        match self.put(at) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.files[at].refused = Some((stamp, format!("{error:#}")));
                Err(error)
            }
        }
    }

    /// Puts what the file is now in force.
    fn put(&mut self, at: usize) -> Result<()> {
        let new = ListFile::read(&self.files[at].path, &self.authority)?;
        let others = self.files.iter().enumerate();
        let all = others.map(|(other, file)| Arc::clone(if other == at { &new.list } else { &file.list }));
        self.authority.put_lists(all.collect())?;
        self.files[at] = new;
        Ok(())
    }
}

impl ListFile {
    fn read(path: &Path, authority: &ClientAuthority) -> Result<Self> {
        let (bytes, stamp) = read(path, LIST_BYTES_MAX)?;
        Ok(Self { path: path.to_owned(), stamp, list: authority.read_list(&bytes)?, refused: None })
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Result<Self> {
        Ok(Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The stamp is from before: what is written meanwhile is read again.
fn read(path: &Path, bytes_max: usize) -> Result<(Vec<u8>, Stamp)> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(anyhow!("it is longer than {bytes_max} bytes"));
    }
    Ok((bytes, stamp))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    /// In 2030.
    const NOW_MS: u64 = 1_900_000_000_000;

    type Signer = CertifiedIssuer<'static, KeyPair>;

    fn signer() -> Signer {
        named("Devices")
    }

    fn named(name: &str) -> Signer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn list(number: u64, revoked: u64, until_year: i32, signer: &Signer) -> String {
        let revoked = (1..=revoked).map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2029, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2029, 1, 1),
            next_update: date_time_ymd(until_year, 2, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(signer).unwrap().pem().unwrap()
    }

    #[test]
    fn a_list_is_read_again_when_its_file_changes_and_what_is_no_list_leaves_it_in_force() {
        let (folder, signer) = (tempfile::tempdir().unwrap(), signer());
        let (ca, path) = (folder.path().join("ca.pem"), folder.path().join("list.pem"));
        fs::write(&ca, signer.pem()).unwrap();
        fs::write(&path, list(1, 0, 2031, &signer)).unwrap();
        let config = ClientCertificatesConfig { ca, lists: vec![path.clone()], is_required: false };
        let mut loaded = ClientCertificates::load(&config).unwrap();
        let revoked = |loaded: &ClientCertificates| loaded.authority.lists()[0].revoked;
        assert_eq!(loaded.look(NOW_MS), (false, None));
        fs::write(&path, list(2, 1, 2031, &signer)).unwrap();
        assert_eq!((loaded.look(NOW_MS), revoked(&loaded)), ((true, None), 1));
        assert_eq!(loaded.look(NOW_MS), (false, None));
        // Older by its number, of somebody else, garbage, too long, gone: each is said, and the list stays.
        let foreign = list(9, 0, 2031, &self::signer());
        let table = [
            (list(1, 5, 2031, &signer), "older"),
            (foreign, "signature is wrong"),
            ("garbage".repeat(3), "not one revocation list"),
            ("0".repeat(LIST_BYTES_MAX + 1), "longer"),
        ];
        for (text, words) in table {
            fs::write(&path, text).unwrap();
            let (has_changed, wrong) = loaded.look(NOW_MS);
            assert!(!has_changed && wrong.as_ref().is_some_and(|wrong| wrong.contains(words)), "{wrong:?}");
            // It is not read again, and said all the same.
            assert_eq!(loaded.look(NOW_MS), (false, wrong));
        }
        fs::remove_file(&path).unwrap();
        assert!(loaded.look(NOW_MS).1.is_some_and(|wrong| wrong.contains("list.pem: it is not there")));
        assert_eq!(revoked(&loaded), 1);
        // One that is late counts all the same.
        fs::write(&path, list(3, 7, 2029, &signer)).unwrap();
        let (has_changed, wrong) = loaded.look(NOW_MS);
        assert!(has_changed && wrong.is_some_and(|wrong| wrong.contains("the next list is due")));
        assert_eq!(revoked(&loaded), 7);
    }

    #[test]
    fn an_authority_without_a_list_beside_others_that_have_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (signer(), named("Others"));
        let (ca, path) = (folder.path().join("ca.pem"), folder.path().join("list.pem"));
        fs::write(&ca, one.pem() + &other.pem()).unwrap();
        fs::write(&path, list(1, 0, 2031, &one)).unwrap();
        let mut config = ClientCertificatesConfig { ca, lists: vec![path], is_required: false };
        let wrong = ClientCertificates::load(&config).unwrap().look(NOW_MS).1;
        assert!(wrong.is_some_and(|wrong| wrong.contains("CN=Others has no list")));
        config.lists.clear();
        assert_eq!(ClientCertificates::load(&config).unwrap().look(NOW_MS), (false, None));
    }

    #[tokio::test]
    async fn connections_are_judged_until_the_broker_answers() {
        let (folder, signer) = (tempfile::tempdir().unwrap(), signer());
        let (ca, path) = (folder.path().join("ca.pem"), folder.path().join("list.pem"));
        fs::write(&ca, signer.pem()).unwrap();
        fs::write(&path, list(1, 0, 2031, &signer)).unwrap();
        let config = ClientCertificatesConfig { ca, lists: vec![path.clone()], is_required: false };
        let loaded = ClientCertificates::load(&config).unwrap();
        fs::write(&path, list(2, 1, 2031, &signer)).unwrap();
        let (judged, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let judge = move || {
            let (answer, answered) = oneshot::channel();
            judged.send(answer).unwrap();
            answered
        };
        let fatal: Fatal = Arc::new(drop);
        let _complaint = loaded.follow(judge, Clock::system(), fatal);
        drop(asked.recv().await.unwrap());
        asked.recv().await.unwrap().send(()).unwrap();
        // Once for each list that has changed.
        fs::write(&path, list(3, 2, 2031, &signer)).unwrap();
        asked.recv().await.unwrap().send(()).unwrap();
        assert!(asked.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_at_the_start_is_named_with_its_key_and_the_remedy() {
        let (folder, signer) = (tempfile::tempdir().unwrap(), signer());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("ca.pem"), signer.pem()).unwrap();
        fs::write(path("garbage.pem"), "garbage").unwrap();
        fs::write(path("foreign.pem"), list(1, 0, 2031, &self::signer())).unwrap();
        let table = [
            ("gone.pem", None, "gone.pem of client_certificates.ca"),
            ("garbage.pem", None, "garbage.pem of client_certificates.ca"),
            ("ca.pem", Some("gone.pem"), "gone.pem of client_certificates.revocation_lists"),
            ("ca.pem", Some("garbage.pem"), "garbage.pem of client_certificates.revocation_lists"),
            ("ca.pem", Some("foreign.pem"), "foreign.pem of client_certificates.revocation_lists"),
        ];
        for (ca, list, words) in table {
            let lists = list.into_iter().map(path).collect();
            let config = ClientCertificatesConfig { ca: path(ca), lists, is_required: false };
            let error = format!("{:#}", ClientCertificates::load(&config).err().unwrap());
            assert!(error.contains(words) && error.contains("remedy: "), "{error}");
        }
    }
}
