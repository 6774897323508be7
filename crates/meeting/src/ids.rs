//! Ids that this process makes.

use uuid::Uuid;

pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}
