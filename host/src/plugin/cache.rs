//! Keeps compiled code on disk. Nothing is loaded that this installation did not write itself: every entry carries a
//! MAC under a key that only it has.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use aws_lc_rs::hmac;

use super::prepare::Answer;
use crate::shelf::{Shelf, write_if_missing};

/// A folder of compiled code.
pub(super) struct Cache {
    shelf: Shelf,
    key: hmac::Key,
}

/// What was kept.
pub(super) struct Entry {
    pub(super) answer: Answer,
    /// The compiled component; empty where the answer needs none.
    pub(super) code: Vec<u8>,
}

const TAG_BYTES: usize = 32;

impl Cache {
    /// Opens a folder, and makes it where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made, is not ours, or others may write to it.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let metadata = std::fs::metadata(folder)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            bail!("{} belongs to another user", folder.display());
        }
        if metadata.mode() & 0o077 != 0 {
            std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        let shelf = Shelf::new(folder.to_path_buf(), "entry");
        shelf.clean();
        Ok(Self { shelf, key: hmac::Key::new(hmac::HMAC_SHA256, &secret(folder)?) })
    }

    /// What is kept under a key. What is broken or not ours is as if it were not there.
    pub(super) fn read(&self, key: &str) -> Option<Entry> {
        let mut bytes = Vec::new();
        self.shelf.open(key).ok()?.read_to_end(&mut bytes).ok()?;
        let entry = self.open_entry(key, &bytes);
        if entry.is_none() {
            let path = self.shelf.path(key);
            tracing::warn!(path = %path.display(), "a cache entry is broken or was not written here; it goes");
            self.shelf.remove(key);
        }
        entry
    }

    fn open_entry(&self, key: &str, bytes: &[u8]) -> Option<Entry> {
        let (tag, sealed) = bytes.split_first_chunk::<TAG_BYTES>()?;
        hmac::verify(&self.key, &message(key, sealed), tag).ok()?;
        let (length, rest) = sealed.split_first_chunk::<4>()?;
        let (answer, code) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        Some(Entry { answer: serde_json::from_slice(answer).ok()?, code: code.to_vec() })
    }

    /// Keeps something under a key; never half of it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write(&self, key: &str, answer: &Answer, code: &[u8]) -> anyhow::Result<()> {
        let answer = serde_json::to_vec(answer)?;
        let mut sealed = u32::try_from(answer.len())?.to_be_bytes().to_vec();
        sealed.extend_from_slice(&answer);
        sealed.extend_from_slice(code);
        let tag = hmac::sign(&self.key, &message(key, &sealed));
        self.shelf
            .keep(key, &[tag.as_ref(), &sealed])
            .with_context(|| format!("write {}", self.shelf.path(key).display()))
    }
}

/// What is sealed: an entry moved to another key is not what it says.
fn message(key: &str, sealed: &[u8]) -> Vec<u8> {
    [key.as_bytes(), b"\n", sealed].concat()
}

/// This installation's secret, made at the first start.
fn secret(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let path = folder.join("key");
    for _ in 0..2 {
        match std::fs::read(&path) {
            Ok(secret) if secret.len() == TAG_BYTES => {
                let mode = std::fs::metadata(&path)?.mode();
                if mode & 0o077 != 0 {
                    bail!("{} can be read by others: remove it", path.display());
                }
                return Ok(secret);
            }
            Ok(_) => bail!("{} is no key: remove it", path.display()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
        let secret = crate::services::random(32).context("the system gives no random bytes")?;
        // Whoever comes first makes it.
        write_if_missing(&path, &secret).with_context(|| format!("write {}", path.display()))?;
    }
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("folder", &self.shelf.folder()).finish_non_exhaustive()
    }
}
