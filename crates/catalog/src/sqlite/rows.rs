//! Conversions between Rust values and columns. SQL has no unsigned 64 bit numbers and no type for a UUID that all
//! engines share.

use crate::{CatalogError, EngagementKind, Rule};
use uuid::Uuid;

pub(super) fn to_i64(value: u64) -> Result<i64, CatalogError> {
    i64::try_from(value).map_err(|_| CatalogError::Invalid(format!("{value} is beyond the largest number of a row")))
}

pub(super) fn to_u64(value: i64) -> Result<u64, CatalogError> {
    u64::try_from(value).map_err(|_| CatalogError::Damaged(format!("{value} where no number below 0 can be")))
}

pub(super) fn to_uuid(text: &str) -> Result<Uuid, CatalogError> {
    Uuid::parse_str(text).map_err(|error| CatalogError::Damaged(format!("{text:?} is no UUID: {error}")))
}

pub(super) fn to_rule(name: &str) -> Result<Rule, CatalogError> {
    match name {
        "none" => Ok(Rule::None),
        "to_queue" => Ok(Rule::ToQueue),
        "from_queue" => Ok(Rule::FromQueue),
        "both" => Ok(Rule::Both),
        _ => Err(CatalogError::Damaged(format!("{name:?} is no rule of a parent topic"))),
    }
}

pub(super) fn engagement_kind_name(kind: EngagementKind) -> &'static str {
    match kind {
        EngagementKind::In => "in",
        EngagementKind::Rung => "rung",
        EngagementKind::Left => "left",
    }
}

pub(super) fn to_engagement_kind(name: &str) -> Result<EngagementKind, CatalogError> {
    match name {
        "in" => Ok(EngagementKind::In),
        "rung" => Ok(EngagementKind::Rung),
        "left" => Ok(EngagementKind::Left),
        _ => Err(CatalogError::Damaged(format!("{name:?} is no kind of engagement"))),
    }
}
