//! The sockets of one listener: a queue for each worker, and all of them open before the first connection is taken.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, SockAddr, Type};

use super::socket::Listener;
use crate::config::{ListenAddress, ListenerConfig};

/// The open sockets of one listener. A connection waits in one of them until its worker takes it: as long as a copy of
/// the socket is open somewhere, in this process or its successor, none is lost.
#[derive(Debug)]
pub(super) struct Listening {
    /// Where it listens, a port taken in place of port 0.
    pub(super) address: ListenAddress,
    sockets: Vec<socket2::Socket>,
    file: Option<SocketFile>,
}

const BACKLOG: i32 = 1024;
/// Who may connect to a Unix socket unless the operator says otherwise.
const MODE: u32 = 0o600;

impl Listening {
    /// Opens as many sockets as there are workers, or one for all if it is a Unix socket.
    ///
    /// # Errors
    /// An address that cannot be taken.
    pub(super) fn open(config: &ListenerConfig, workers: usize) -> anyhow::Result<Self> {
        match &config.address {
            ListenAddress::Ip(address) => {
                let mut listening = Self { address: config.address.clone(), sockets: Vec::new(), file: None };
                listening.add_queues(*address, workers)?;
                Ok(listening)
            }
            ListenAddress::Unix(path) => {
                let (socket, file) = open_file(path, mode_of(config))?;
                Ok(Self { address: config.address.clone(), sockets: vec![socket], file: Some(file) })
            }
        }
    }

    /// Takes over the sockets of a predecessor.
    ///
    /// # Errors
    /// Sockets that do not listen there.
    pub(super) fn inherit(config: &ListenerConfig, sockets: Vec<OwnedFd>, workers: usize) -> anyhow::Result<Self> {
        let sockets: Vec<socket2::Socket> = sockets.into_iter().map(socket2::Socket::from).collect();
        let first = sockets.first().context("no socket was handed over")?;
        let address = first.local_addr()?;
        match (&config.address, address.as_socket()) {
            (ListenAddress::Ip(_), Some(taken)) => {
                let mut listening = Self { address: ListenAddress::Ip(taken), sockets, file: None };
                listening.add_queues(taken, workers)?;
                Ok(listening)
            }
            (ListenAddress::Unix(path), None) => {
                let file = SocketFile::of(path)?;
                Ok(Self { address: config.address.clone(), sockets, file: Some(file) })
            }
            _ => bail!("the socket that was handed over listens elsewhere"),
        }
    }

    /// Opens sockets until there is one for each worker. One more than there are workers is no harm: they share.
    fn add_queues(&mut self, address: SocketAddr, workers: usize) -> anyhow::Result<()> {
        let mut address = address;
        while self.sockets.len() < workers.max(1) {
            let socket = bind(address)?;
            address = socket.local_addr()?.as_socket().context("the socket has no address")?;
            socket.listen(BACKLOG)?;
            self.sockets.push(socket);
        }
        self.address = ListenAddress::Ip(address);
        Ok(())
    }

    /// What this worker takes connections from.
    ///
    /// # Errors
    /// Where no file descriptor is left.
    pub(super) fn for_worker(&self, index: usize, workers: usize) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for (number, socket) in self.sockets.iter().enumerate() {
            match self.address {
                ListenAddress::Ip(_) if number % workers.max(1) == index => {
                    listeners.push(Listener::Tcp(tokio::net::TcpListener::from_std(socket.try_clone()?.into())?));
                }
                ListenAddress::Ip(_) => {}
                ListenAddress::Unix(_) => {
                    listeners.push(Listener::Unix(tokio::net::UnixListener::from_std(socket.try_clone()?.into())?));
                }
            }
        }
        Ok(listeners)
    }

    /// Copies of all sockets, for a successor.
    ///
    /// # Errors
    /// Where no file descriptor is left.
    pub(super) fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Leaves the file of a Unix socket where it is: a successor listens on it.
    pub(super) fn leave_file(&self) {
        if let Some(file) = &self.file {
            file.left.store(true, Ordering::Relaxed);
        }
    }

    /// Sets who may connect, as configured now.
    pub(super) fn set_mode(&self, config: &ListenerConfig) {
        if let Some(file) = &self.file
            && let Err(error) = std::fs::set_permissions(&file.path, Permissions::from_mode(mode_of(config)))
        {
            tracing::warn!(%error, path = %file.path.display(), "cannot set who may connect");
        }
    }
}

fn mode_of(config: &ListenerConfig) -> u32 {
    config.mode.as_ref().and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(MODE)
}

/// A socket of the address, which several workers may share.
fn bind(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The file of a Unix socket, removed when nobody listens on it any more.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another's file of the same name is left alone.
    identity: (u64, u64),
    left: AtomicBool,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { path: path.to_path_buf(), identity, left: AtomicBool::new(false) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours
            && !self.left.load(Ordering::Relaxed)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the socket's file stays");
        }
    }
}

/// Opens a Unix socket. Its file appears under its name only once it listens and has its mode.
fn open_file(path: &Path, mode: u32) -> anyhow::Result<(socket2::Socket, SocketFile)> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => bail!("there is a file that is no socket: remove it"),
        // What a process left that is gone refuses to connect.
        Ok(_) if UnixStream::connect(path).is_ok() => bail!("another process listens there"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    let folder = path.parent().context("the path has no folder")?;
    let draft = folder.join(format!(".{}", std::process::id()));
    if let Err(error) = std::fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("remove {}", draft.display()));
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&draft)?)?;
    let opened = std::fs::set_permissions(&draft, Permissions::from_mode(mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| std::fs::rename(&draft, path))
        .and_then(|()| SocketFile::of(path));
    if opened.is_err()
        && let Err(error) = std::fs::remove_file(&draft)
    {
        tracing::debug!(%error, "no draft of a socket is left");
    }
    Ok((socket, opened?))
}
