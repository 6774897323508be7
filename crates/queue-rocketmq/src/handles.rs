//! Receipt handles: the queue's receipts, sealed for the topic and the group that they were given to.
//!
//! `<receipt>.<32 hex digits of HMAC-SHA256(key, topic, group, receipt)>`. The key lives as long as the process, as receipts do.
//! So no key can acknowledge what was handed out to a group of a topic that it may not receive from.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use queue::{GroupName, Receipt, TopicName};

use crate::answer::Refusal;

const TAG_BYTES: usize = 16;

pub(crate) struct Handles {
    key: hmac::Key,
}

impl Handles {
    pub(crate) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self { key: key.expect("a system that gives no random numbers starts no server") }
    }

    pub(crate) fn seal(&self, topic: &TopicName, group: &GroupName, receipt: &Receipt) -> String {
        format!("{receipt}.{}", self.tag(topic, group, receipt.as_str()))
    }

    /// # Errors
    /// It was not given to this group on this topic by this process.
    pub(crate) fn open(&self, topic: &TopicName, group: &GroupName, handle: &str) -> Result<Receipt, Refusal> {
        let (receipt, tag) = handle.rsplit_once('.').ok_or_else(Refusal::no_receipt)?;
        let wanted = self.tag(topic, group, receipt);
        let is_same = aws_lc_rs::constant_time::verify_slices_are_equal(wanted.as_bytes(), tag.as_bytes());
        is_same.map_err(|_| Refusal::no_receipt())?;
        Ok(Receipt::new(receipt))
    }

    /// Whether the text may be a handle that an earlier process has given.
    pub(crate) fn might_be_of_before(handle: &str) -> bool {
        handle
            .rsplit_once('.')
            .is_some_and(|(_, tag)| tag.len() == 2 * TAG_BYTES && tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    fn tag(&self, topic: &TopicName, group: &GroupName, receipt: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        // None of them has a line break.
        for part in [topic.as_str(), "\n", group.as_str(), "\n", receipt] {
            context.update(part.as_bytes());
        }
        hex(&context.sign().as_ref()[..TAG_BYTES])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn a_handle_is_good_for_its_topic_and_group_and_for_this_process() {
        let handles = Handles::new();
        let [orders, bills] = ["orders", "bills"].map(|name| TopicName::parse(name).unwrap());
        let [one, two] = ["one", "two"].map(|name| GroupName::parse(name).unwrap());
        let receipt = Receipt::new("1.2.3.4");
        let handle = handles.seal(&orders, &one, &receipt);
        assert_eq!(handles.open(&orders, &one, &handle), Ok(receipt.clone()));
        let refused = Err(Refusal::no_receipt());
        assert_eq!(handles.open(&bills, &one, &handle), refused);
        assert_eq!(handles.open(&orders, &two, &handle), refused);
        assert_eq!(handles.open(&orders, &one, &handle.replace("1.2.3.4", "1.2.3.5")), refused);
        assert_eq!(Handles::new().open(&orders, &one, &handle), refused);
        assert!(Handles::might_be_of_before(&handle));
        for garbage in ["", ".", "1.2.3.4", "1.2.3.4.", "é.é"] {
            assert_eq!(handles.open(&orders, &one, garbage), refused, "{garbage}");
            assert!(!Handles::might_be_of_before(garbage), "{garbage}");
        }
    }
}
