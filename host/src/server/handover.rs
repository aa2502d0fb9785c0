//! A new process takes over from an old one: the listening sockets go over whole, so that no connection is refused or
//! lost in between, and the old one serves on if the new one cannot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Server;
use crate::config::ListenAddress;
use crate::snapshot::ListenerKey;
use crate::telemetry::rfc3339;

/// The variable that tells a process that its standard input is its predecessor.
pub(crate) const HANDOVER: &str = "GATEWRIGHT_HANDOVER";
/// How long a successor may take until it serves: it proves the configuration, and may have to compile.
const START_MAX: Duration = Duration::from_secs(180);
/// How long a predecessor may take to say what there is.
const OFFER_MAX: Duration = Duration::from_secs(10);
const MESSAGE_BYTES_MAX: usize = 32 << 10;
const WHY_CHARS_MAX: usize = 4 << 10;

/// What the two say to each other, one message a packet. A socket travels with the message that names it.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// A socket of this listener.
    Listener(ListenAddress, usize),
    /// The operator's socket, by its configured address.
    Admin(SocketAddr),
    /// No more sockets.
    End,
    /// The successor serves.
    Ready,
    /// It does not, and why.
    Failed(String),
}

/// Sockets that a predecessor handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: BTreeMap<ListenerKey, Vec<OwnedFd>>,
    admin: Option<(SocketAddr, OwnedFd)>,
}

impl Inherited {
    /// Takes the sockets of a listener.
    pub(super) fn listener(&mut self, key: &ListenerKey) -> Option<Vec<OwnedFd>> {
        self.listeners.remove(key)
    }

    /// Takes the operator's socket, if it is still configured there.
    pub fn admin(&mut self, address: SocketAddr) -> Option<OwnedFd> {
        self.admin.take().filter(|(other, _)| *other == address).map(|(_, socket)| socket)
    }

    pub(super) fn forget_listeners(&mut self) {
        self.listeners.clear();
    }
}

/// A new process, seen from within: it owes its predecessor word.
#[derive(Debug)]
pub struct Successor(OwnedFd);

impl Successor {
    /// Takes what the predecessor on standard input hands over.
    ///
    /// # Errors
    /// Where standard input is no predecessor, or it breaks off.
    pub fn take_over() -> anyhow::Result<(Self, Inherited)> {
        let channel = std::io::stdin().as_fd().try_clone_to_owned().context("there is no predecessor")?;
        set_socket_timeout(&channel, Timeout::Recv, Some(OFFER_MAX)).context("standard input is no predecessor")?;
        let mut inherited = Inherited::default();
        loop {
            match receive(&channel)? {
                Some((Message::Listener(address, number), Some(socket))) => {
                    inherited.listeners.entry((address, number)).or_default().push(socket);
                }
                Some((Message::Admin(address), Some(socket))) => inherited.admin = Some((address, socket)),
                Some((Message::End, _)) => return Ok((Self(channel), inherited)),
                other => bail!("the predecessor breaks off with {other:?}"),
            }
        }
    }

    /// Tells the predecessor to leave.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn ready(self) -> anyhow::Result<()> {
        send(&self.0, &Message::Ready, None)
    }

    /// Tells the predecessor to stay.
    pub fn failed(self, why: &str) {
        let why = why.chars().take(WHY_CHARS_MAX).collect();
        if let Err(error) = send(&self.0, &Message::Failed(why), None) {
            tracing::debug!(%error, "the predecessor is gone");
        }
    }
}

/// Starts successors.
pub struct Upgrader {
    server: Arc<Server>,
    admin: (SocketAddr, OwnedFd),
    program: PathBuf,
    arguments: Vec<OsString>,
    failure: Mutex<Option<UpgradeFailure>>,
    /// Held while a successor starts.
    starting: Mutex<()>,
    handed_over: watch::Sender<bool>,
}

/// Why the newest attempt to hand over failed.
#[derive(Debug, Clone, Serialize)]
pub struct UpgradeFailure {
    /// When.
    pub at: String,
    /// Why.
    pub error: String,
}

impl Upgrader {
    /// Will start this program with these arguments, and hand over the server's sockets and the operator's.
    #[must_use]
    pub fn new(
        server: Arc<Server>,
        admin: (SocketAddr, OwnedFd),
        (program, arguments): (PathBuf, Vec<OsString>),
    ) -> Self {
        let (handed_over, _) = watch::channel(false);
        Self { server, admin, program, arguments, failure: Mutex::default(), starting: Mutex::default(), handed_over }
    }

    /// Whether a successor serves: time to leave.
    #[must_use]
    pub fn handed_over(&self) -> watch::Receiver<bool> {
        self.handed_over.subscribe()
    }

    /// Why the newest attempt failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<UpgradeFailure> {
        self.failure.lock().clone()
    }

    /// Starts a successor and waits until it serves. Gives its process id.
    ///
    /// # Errors
    /// Why there is none; this process serves on.
    pub fn upgrade(&self) -> anyhow::Result<u32> {
        let Some(_alone) = self.starting.try_lock().filter(|_| !*self.handed_over.borrow()) else {
            bail!("a successor starts or serves already");
        };
        match self.start() {
            Ok(pid) => {
                tracing::info!(pid, "handed over");
                *self.failure.lock() = None;
                self.handed_over.send_replace(true);
                Ok(pid)
            }
            Err(error) => {
                let error = error.context("the successor does not serve, this process serves on");
                tracing::error!(error = format!("{error:#}"), "upgrade failed");
                let failure = UpgradeFailure { at: rfc3339(SystemTime::now()), error: format!("{error:#}") };
                *self.failure.lock() = Some(failure);
                Err(error)
            }
        }
    }

    fn start(&self) -> anyhow::Result<u32> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(HANDOVER, "stdin").stdin(Stdio::from(theirs));
        let mut child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        // Its end of the channel is to be its own, so that its end is seen.
        drop(command);
        let answer = self.converse(&ours);
        if answer.is_err() {
            end(&mut child);
        }
        answer.map(|()| child.id())
    }

    fn converse(&self, channel: &OwnedFd) -> anyhow::Result<()> {
        set_socket_timeout(channel, Timeout::Send, Some(OFFER_MAX))?;
        for ((address, number), socket) in self.server.copies()? {
            send(channel, &Message::Listener(address, number), Some(socket.as_fd()))?;
        }
        send(channel, &Message::Admin(self.admin.0), Some(self.admin.1.as_fd()))?;
        send(channel, &Message::End, None)?;
        set_socket_timeout(channel, Timeout::Recv, Some(START_MAX))?;
        match receive(channel).context("it does not serve in time")? {
            Some((Message::Ready, _)) => Ok(()),
            Some((Message::Failed(why), _)) => bail!("{why}"),
            Some((other, _)) => bail!("it says {other:?}"),
            None => bail!("it ended without a word"),
        }
    }
}

fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::debug!(%error, "the successor cannot be ended");
    }
}

fn send(channel: &OwnedFd, message: &Message, socket: Option<BorrowedFd<'_>>) -> anyhow::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets: Vec<BorrowedFd<'_>> = socket.into_iter().collect();
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        bail!("a socket does not fit");
    }
    sendmsg(channel, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
        .context("the other process is gone")?;
    Ok(())
}

/// The next message with the socket it names; none once the other has ended.
fn receive(channel: &OwnedFd) -> anyhow::Result<Option<(Message, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            socket = sockets.last();
        }
    }
    match bytes.get(..received.bytes) {
        None | Some([]) => Ok(None),
        Some(bytes) => Ok(Some((serde_json::from_slice(bytes).context("what it says is not understood")?, socket))),
    }
}
