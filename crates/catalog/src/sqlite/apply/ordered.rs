//! What an owner orders of devices, and of what is no row of the catalog.

use super::{Done, Outcome, device_json, found};
use crate::sqlite::audit::widen;
use crate::sqlite::devices;
use crate::sqlite::rows::to_i64;
use crate::{Cut, DeviceInfo, Kind, Note};
use sqlx::{SqliteConnection, query};

/// The credential that takes the place of the old one has expired.
pub(super) async fn revoke_device(
    conn: &mut SqliteConnection,
    client_id: &str,
    (key_id, secret): (&str, &str),
    expected: Option<u64>,
    (number, at_ms): (i64, u64),
) -> Outcome {
    let row = devices::info(conn, client_id).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    let sql = "UPDATE devices SET key_id = $2, secret = $3, expires_at_ms = $4, changed = $5 WHERE client_id = $1";
    let sql = query(sql).bind(client_id).bind(key_id).bind(secret).bind(to_i64(at_ms)?).bind(number);
    sql.execute(&mut *conn).await?;
    let before = device_json(&known);
    let after = device_json(&DeviceInfo { key_id: key_id.to_owned(), expires_at_ms: at_ms, ..known.clone() });
    let cuts = vec![Cut::Credential { client_id: known.client_id, key_id: known.key_id }];
    Ok(Some(Done::new("revoke", Kind::Device, client_id).before(before).after(after).cuts(cuts)))
}

pub(super) async fn rename_device(
    conn: &mut SqliteConnection,
    client_id: &str,
    name: Option<&str>,
    expected: Option<u64>,
    number: i64,
) -> Outcome {
    let row = devices::info(conn, client_id).await.map_err(widen)?;
    let known = found(row, expected, |row| row.changed)?.value;
    let wish = DeviceInfo { name: name.map(str::to_owned), ..known.clone() };
    if wish == known {
        return Ok(None);
    }
    let sql = query("UPDATE devices SET name = $2, changed = $3 WHERE client_id = $1");
    sql.bind(client_id).bind(name).bind(number).execute(conn).await?;
    Ok(Some(Done::new("update", Kind::Device, client_id).before(device_json(&known)).after(device_json(&wish))))
}

pub(super) fn noted(note: &Note) -> Done {
    let done = Done { concerns_access: false, ..Done::new(note.action, note.kind, &note.subject) };
    Done { after: note.after.clone(), ..done }
}
