//! The UDP socket of a shard: many datagrams per system call in both directions (recvmmsg and GRO in, GSO out).
//!
//! Addresses are canonical above this module: an IPv4 peer of an IPv6 socket looks like IPv4.

use crate::metrics::{DropReason, Metrics};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// What the kernel may hold for us; the default of about 90 video packets turns any pause into loss.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Datagrams that the kernel coalesces (GRO) into one receive buffer, or takes as one send batch (GSO), in bytes.
const COALESCED_BYTES_MAX: usize = 65_535;
const GSO_SEGMENTS_MAX: usize = 64;

/// Opens `count` sockets on one address; several share the port, the kernel spreads the senders over them.
pub(crate) fn bind(addr: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    const CHOICES_OF_PORTS: usize = 10;
    for _ in 1..CHOICES_OF_PORTS {
        match bind_once(addr, count) {
            // Another process took the kernel's choice before it was shared.
            Err(error) if addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    bind_once(addr, count)
}

fn bind_once(addr: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    // The first socket does not share: so a port that another process uses is noticed, even if that one shares.
    let probe = open(addr, false)?;
    if count == 1 {
        return Ok(vec![probe]);
    }
    let addr = probe.local_addr()?;
    drop(probe);
    (0..count).map(|_| open(addr, true)).collect()
}

pub(crate) fn local_addr(sockets: &[UdpSocket]) -> io::Result<SocketAddr> {
    sockets.first().ok_or(io::ErrorKind::NotFound)?.local_addr()
}

fn open(addr: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // More than the system allows is cut down by it: better than its default all the same.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Both halves of a media socket.
struct MediaSocket {
    udp: UdpSocket,
    state: UdpSocketState,
}

pub(super) struct Ingress {
    socket: Arc<MediaSocket>,
    buffers: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

pub(super) struct Egress {
    socket: Arc<MediaSocket>,
    is_v6: bool,
    batch: SendBatch,
    metrics: Arc<Metrics>,
}

pub(super) fn split(socket: UdpSocket, metrics: Arc<Metrics>) -> io::Result<(Ingress, Egress)> {
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    let is_v6 = socket.local_addr()?.is_ipv6();
    let socket = Arc::new(MediaSocket { udp: socket, state });
    let buffers = vec![0; COALESCED_BYTES_MAX * BATCH_SIZE];
    let ingress = Ingress { socket: socket.clone(), buffers, metas: [RecvMeta::default(); BATCH_SIZE] };
    Ok((ingress, Egress { socket, is_v6, batch: SendBatch::default(), metrics }))
}

/// Datagrams to one destination, of one size (the last may be shorter), that leave in one system call.
#[derive(Default)]
struct SendBatch {
    to: Option<(SocketAddr, Option<IpAddr>)>,
    bytes: Vec<u8>,
    segment: usize,
    count: usize,
    closed: bool,
}

/// A received datagram.
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    /// The address of ours that it was sent to, so that the answer leaves from there.
    pub(super) local_ip: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
}

impl Ingress {
    pub(super) fn fd(&self) -> RawFd {
        self.socket.udp.as_raw_fd()
    }

    /// Receives into the buffers and returns how many are filled; [`Self::received`] reads one.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        let mut slices = self.buffers.chunks_exact_mut(COALESCED_BYTES_MAX).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().expect("one chunk for each of the batch was allocated"));
        self.socket.state.recv(UdpSockRef::from(&self.socket.udp), &mut slices, &mut self.metas)
    }

    /// The datagrams that were coalesced into one of the filled buffers.
    pub(super) fn received(&self, index: usize) -> impl Iterator<Item = Datagram<'_>> {
        let meta = self.metas[index];
        let coalesced = &self.buffers[index * COALESCED_BYTES_MAX..][..meta.len];
        let source = canonical(meta.addr);
        let local_ip = meta.dst_ip.map(|ip| ip.to_canonical());
        coalesced.chunks(meta.stride.max(1)).map(move |bytes| Datagram { source, local_ip, bytes })
    }
}

impl Egress {
    /// Adds to the present batch, which leaves first if the datagram does not fit it; [`Self::flush`] sends the last one.
    pub(super) fn send(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) {
        let segments_max = self.socket.state.max_gso_segments().min(GSO_SEGMENTS_MAX);
        if !self.batch.takes(to, from, bytes.len(), segments_max) {
            self.flush();
        }
        self.batch.add(to, from, bytes);
    }

    pub(super) fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Some((to, from)) = batch.to else { return };
        let segment = (batch.count > 1).then_some(batch.segment);
        if let Err(error) = self.transmit(to, from, &batch.bytes, segment) {
            self.send_each(to, from, &batch, &error);
        } else {
            self.count_sent(batch.count, batch.bytes.len());
        }
        // Its buffer is used again.
        self.batch = SendBatch { bytes: batch.bytes, ..SendBatch::default() };
        self.batch.bytes.clear();
    }

    /// A path without segmentation offload shows as an error of the whole batch: its datagrams may still leave alone.
    fn send_each(&mut self, to: SocketAddr, from: Option<IpAddr>, batch: &SendBatch, error: &io::Error) {
        let alone = batch.count > 1 && error.kind() != io::ErrorKind::WouldBlock;
        for bytes in batch.bytes.chunks(batch.segment.max(1)) {
            if alone && self.transmit(to, from, bytes, None).is_ok() {
                self.count_sent(1, bytes.len());
            } else {
                self.metrics.discard(DropReason::SendFailed);
            }
        }
    }

    fn transmit(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let (destination, src_ip) = if self.is_v6 { (mapped(to), from.map(mapped_ip)) } else { (to, from) };
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip };
        self.socket.state.try_send(UdpSockRef::from(&self.socket.udp), &transmit)
    }

    fn count_sent(&self, datagrams: usize, bytes: usize) {
        self.metrics.packets_out.add(datagrams as u64);
        self.metrics.bytes_out.add(bytes as u64);
    }
}

impl SendBatch {
    fn takes(&self, to: SocketAddr, from: Option<IpAddr>, len: usize, segments_max: usize) -> bool {
        let fits = self.bytes.len() + len <= COALESCED_BYTES_MAX - 500 && self.count < segments_max;
        match self.to {
            None => true,
            Some(there) => there == (to, from) && !self.closed && len <= self.segment && fits,
        }
    }

    fn add(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) {
        if self.to.is_none() {
            self.to = Some((to, from));
            self.segment = bytes.len();
        }
        self.closed = bytes.len() < self.segment;
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn mapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(mapped_ip(addr.ip()), addr.port())
}

fn mapped_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn pair(addr: &str) -> (Ingress, Egress, UdpSocket) {
        let addr: SocketAddr = addr.parse().unwrap();
        let server = bind(addr, 1).unwrap().remove(0);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.1", server.local_addr().unwrap().port())).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let (ingress, egress) = split(server, Arc::new(Metrics::default())).unwrap();
        (ingress, egress, client)
    }

    fn receive_one(socket: &mut Ingress) -> (SocketAddr, Option<IpAddr>, Vec<u8>) {
        while let Err(error) = socket.receive() {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            std::thread::yield_now();
        }
        let datagram = socket.received(0).next().unwrap();
        (datagram.source, datagram.local_ip, datagram.bytes.to_vec())
    }

    #[test]
    fn a_batch_of_equal_datagrams_arrives_one_by_one_and_in_order() {
        let (_, mut egress, client) = pair("127.0.0.1:0");
        let to = client.local_addr().unwrap();
        for index in 0..5_u8 {
            let len = if index == 4 { 700 } else { 1_200 };
            egress.send(to, None, &vec![index; len]);
        }
        egress.send(to, None, &[9; 1_200]);
        egress.flush();
        let mut buffer = [0; 2_000];
        for (index, len) in [(0, 1_200), (1, 1_200), (2, 1_200), (3, 1_200), (4, 700), (9, 1_200)] {
            assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (len, index));
        }
        assert_eq!(egress.metrics.snapshot().packets_out, 6);
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_looks_like_ipv4_and_is_answered() {
        let (mut ingress, mut egress, client) = pair("[::]:0");
        client.send(b"hello").unwrap();
        let (source, local_ip, bytes) = receive_one(&mut ingress);
        assert_eq!((source, bytes.as_slice()), (client.local_addr().unwrap(), b"hello".as_slice()));
        assert_eq!(local_ip, Some("127.0.0.1".parse().unwrap()));
        egress.send(source, local_ip, b"there");
        egress.flush();
        let mut buffer = [0; 16];
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn a_port_in_use_is_noticed_also_when_it_could_be_shared() {
        let taken = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let addr = local_addr(&taken).unwrap();
        for count in [1, 2] {
            assert_eq!(bind(addr, count).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }
}
