//! Keeps compiled code on disk. Nothing is loaded that this installation did not write itself: every entry carries a
//! MAC under a key that only it has.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use aws_lc_rs::hmac;

use super::prepare::Answer;

/// A folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: hmac::Key,
}

/// What was kept.
pub(super) struct Entry {
    pub(super) answer: Answer,
    /// The compiled component; empty where the answer needs none.
    pub(super) code: Vec<u8>,
}

const TAG_BYTES: usize = 32;
/// Entries that nothing asked for in this long go.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The oldest go first past this many bytes.
const BYTES_MAX: u64 = 2 << 30;
const ENTRY: &str = "entry";

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
        let cache = Self { folder: folder.to_path_buf(), key: hmac::Key::new(hmac::HMAC_SHA256, &secret(folder)?) };
        cache.clean();
        Ok(cache)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.{ENTRY}"))
    }

    /// What is kept under a key. What is broken or not ours is as if it were not there.
    pub(super) fn read(&self, key: &str) -> Option<Entry> {
        let path = self.path(key);
        let mut bytes = Vec::new();
        let mut file = File::open(&path).ok()?;
        file.read_to_end(&mut bytes).ok()?;
        let entry = self.open_entry(key, &bytes);
        match &entry {
            Some(_) => {
                if let Err(error) = file.set_modified(SystemTime::now()) {
                    tracing::debug!(%error, "a cache entry's time cannot be set");
                }
            }
            None => {
                tracing::warn!(path = %path.display(), "a cache entry is broken or was not written here; it goes");
                self.remove(&path);
            }
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
        replace(&self.path(key), &[tag.as_ref(), &sealed])
    }

    /// Removes what nobody asked for in a long time, and the oldest where there is too much.
    pub(super) fn clean(&self) {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = files
            .filter_map(|file| {
                let (path, metadata) = (file.as_ref().ok()?.path(), file.ok()?.metadata().ok()?);
                let ours = path.extension().is_some_and(|extension| extension == ENTRY || extension == "part");
                Some((metadata.modified().ok().filter(|_| ours)?, metadata.len(), path))
            })
            .collect();
        entries.sort_by_key(|(modified, _, _)| std::cmp::Reverse(*modified));
        let mut bytes = 0_u64;
        for (modified, length, path) in entries {
            bytes = bytes.saturating_add(length);
            let unused = modified.elapsed().is_ok_and(|since| since > UNUSED_MAX);
            if unused || bytes > BYTES_MAX {
                self.remove(&path);
            }
        }
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(%error, folder = %self.folder.display(), "a cache entry cannot be removed");
        }
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
        // Whoever comes first makes it; a link never replaces what is there.
        let part = write_part(&path, &[&secret])?;
        File::open(&part)?.sync_all()?;
        let linked = std::fs::hard_link(&part, &path);
        std::fs::remove_file(&part)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    std::fs::read(&path).with_context(|| format!("read {}", path.display()))
}

fn replace(path: &Path, parts: &[&[u8]]) -> anyhow::Result<()> {
    let part = write_part(path, parts)?;
    std::fs::rename(&part, path).with_context(|| format!("write {}", path.display()))
}

/// Writes a file beside the one that it is to become.
fn write_part(path: &Path, parts: &[&[u8]]) -> anyhow::Result<PathBuf> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let part = path.with_extension(format!("{}-{count}.part", std::process::id()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    for bytes in parts {
        file.write_all(bytes)?;
    }
    // Nothing waits for the disk: what a crash tears has no valid MAC.
    Ok(part)
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cache").field("folder", &self.folder).finish_non_exhaustive()
    }
}
