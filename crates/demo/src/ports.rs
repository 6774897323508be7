//! TCP ports that stay reserved for a stage, also while no server runs on them.

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

/// Each is held by a socket that is bound but does not listen: the kernel gives such a port to no process that asks for
/// any port, and lets a server listen on it that names it. Only another process that names it may take it away.
pub(super) struct Ports {
    pub mqtt: u16,
    pub mqtts: u16,
    pub http: u16,
    pub https: u16,
    pub metrics: u16,
    _held: [TcpSocket; 5],
}

impl Ports {
    pub(super) fn hold() -> Result<Self> {
        let held = [hold()?, hold()?, hold()?, hold()?, hold()?];
        let port = |n: usize| held[n].local_addr().map(|address| address.port());
        Ok(Self { mqtt: port(0)?, mqtts: port(1)?, http: port(2)?, https: port(3)?, metrics: port(4)?, _held: held })
    }
}

fn hold() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4().context("no socket")?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], 0).into()).context("no free TCP port")?;
    Ok(socket)
}
