//! Users, devices, API keys and login links: which function serves which method.

use super::{SqliteCatalog, devices, keys, links, users};
use crate::{
    Accounts, ApiKey, CatalogFuture, Device, DeviceFilter, DeviceInfo, DeviceState, Key, LoginLink, Page, Row, User,
    Uses,
};

impl Accounts for SqliteCatalog {
    fn put_user(&self, user: User) -> CatalogFuture<'_, ()> {
        write!(self, conn => users::put_user(conn, &user))
    }

    fn user(&self, user: &str) -> CatalogFuture<'_, Option<User>> {
        let user = user.to_owned();
        read!(self, conn => users::user(conn, &user))
    }

    fn users(&self, after: Option<&str>, limit: u32) -> CatalogFuture<'_, Vec<User>> {
        let after = after.map(str::to_owned);
        read!(self, conn => users::users(conn, after.as_deref(), limit))
    }

    fn put_device(&self, device: Device) -> CatalogFuture<'_, ()> {
        write!(self, conn => devices::put(conn, &device))
    }

    fn device(&self, client_id: &str) -> CatalogFuture<'_, Option<Device>> {
        let client_id = client_id.to_owned();
        read!(self, conn => devices::device(conn, &client_id))
    }

    fn extend_device(&self, client_id: &str, key_id: &str, expires_at_ms: u64) -> CatalogFuture<'_, Option<u64>> {
        let (client_id, key_id) = (client_id.to_owned(), key_id.to_owned());
        write!(self, conn => devices::extend(conn, &client_id, &key_id, expires_at_ms))
    }

    fn remove_device(&self, client_id: &str, key_id: &str, at_ms: u64) -> CatalogFuture<'_, bool> {
        let (client_id, key_id) = (client_id.to_owned(), key_id.to_owned());
        write!(self, conn => devices::remove(conn, &client_id, &key_id, at_ms))
    }

    fn removed_devices(&self) -> CatalogFuture<'_, Vec<String>> {
        read!(self, conn => devices::removed(conn))
    }

    fn was_removed(&self, client_id: &str) -> CatalogFuture<'_, bool> {
        let client_id = client_id.to_owned();
        read!(self, conn => devices::was_removed(conn, &client_id))
    }

    fn devices_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<DeviceState>> {
        let users = users.to_vec();
        read!(self, conn => devices::of_users(conn, &users))
    }

    fn put_api_key(&self, key: ApiKey) -> CatalogFuture<'_, ()> {
        write!(self, conn => keys::put_api_key(conn, &key))
    }

    fn api_key(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<Row<Key>>> {
        let hash = secret_sha256.to_owned();
        read_at_once!(self, conn => keys::by_secret(conn, &hash))
    }

    fn keys(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Key>>> {
        read_at_once!(self, conn => keys::page(conn, &page))
    }

    fn key(&self, key_id: &str) -> CatalogFuture<'_, Option<Row<Key>>> {
        let key_id = key_id.to_owned();
        read_at_once!(self, conn => keys::key(conn, &key_id))
    }

    fn find_users(&self, text: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<User>>> {
        let text = text.map(str::to_owned);
        read!(self, conn => users::find(conn, text.as_deref(), &page))
    }

    fn user_row(&self, user: &str) -> CatalogFuture<'_, Option<Row<User>>> {
        let user = user.to_owned();
        read!(self, conn => users::row(conn, &user))
    }

    fn user_uses(&self, user: &str) -> CatalogFuture<'_, Uses> {
        let user = user.to_owned();
        read!(self, conn => users::uses(conn, &user))
    }

    fn connected(&self, filter: DeviceFilter) -> CatalogFuture<'_, u64> {
        read!(self, conn => devices::connected(conn, &filter))
    }

    fn devices(&self, filter: DeviceFilter, page: Page) -> CatalogFuture<'_, Vec<Row<DeviceInfo>>> {
        read!(self, conn => devices::page(conn, &filter, &page))
    }

    fn device_info(&self, client_id: &str) -> CatalogFuture<'_, Option<Row<DeviceInfo>>> {
        let client_id = client_id.to_owned();
        read!(self, conn => devices::info(conn, &client_id))
    }

    fn links(&self, user: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<LoginLink>>> {
        let user = user.map(str::to_owned);
        read!(self, conn => links::page(conn, user.as_deref(), &page))
    }

    fn link(&self, link_id: &str) -> CatalogFuture<'_, Option<Row<LoginLink>>> {
        let link_id = link_id.to_owned();
        read!(self, conn => links::link(conn, &link_id))
    }

    fn put_login_link(&self, link: LoginLink) -> CatalogFuture<'_, ()> {
        write!(self, conn => links::put(conn, &link))
    }

    fn login_link(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<LoginLink>> {
        let hash = secret_sha256.to_owned();
        read!(self, conn => links::by_secret(conn, &hash))
    }
}
