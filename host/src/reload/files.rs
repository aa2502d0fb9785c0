//! Reads files whole and still: what is being written is read again until it no longer changes.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::plugin::{FILE_MAX, Hashed};

/// What tells a file apart from what it was: device, inode, size, and both of its times.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// Files by path, read again only when something about them changed.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<PathBuf, Known>);

#[derive(Debug, Clone)]
struct Known {
    stamp: Stamp,
    hash: String,
    read_at: std::time::Instant,
}

/// Between two reads that must agree.
const STILL: Duration = Duration::from_millis(30);
const READS_MAX: u32 = 40;
/// A file that has not changed in so long is read once.
const RESTED_SECS: u64 = 1;
/// A file whose times are coarse or set back is still read this often.
const TRUST: Duration = Duration::from_secs(30);

impl Files {
    /// The hash of a file's contents; the contents only if they are new.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<(String, Option<Hashed>)> {
        let stamp = stamp(&std::fs::metadata(path)?);
        if let Some(known) = self.0.get(path)
            && known.stamp == stamp
            && known.read_at.elapsed() < TRUST
        {
            return Ok((known.hash.clone(), None));
        }
        let (bytes, stamp) = read_still(path)?;
        let contents = Hashed::new(bytes);
        let hash = contents.hash().to_owned();
        let known = Known { stamp, hash: hash.clone(), read_at: std::time::Instant::now() };
        self.0.insert(path.to_path_buf(), known);
        Ok((hash, Some(contents)))
    }

    /// Reads a file although nothing about it changed. Contents that hash to something else are none of its.
    pub(super) fn read_again(&mut self, path: &Path, hash: &str) -> io::Result<Hashed> {
        let contents = Hashed::new(read_still(path)?.0);
        if contents.hash() != hash {
            self.0.remove(path);
            return Err(io::Error::other("has changed and looks as it did before: it is read again at the next look"));
        }
        Ok(contents)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// Whether nobody has touched a file for a while. Its change time cannot be set back.
fn has_rested(stamp: &Stamp) -> bool {
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return false };
    u64::try_from(stamp.5).is_ok_and(|changed| now.as_secs() > changed + RESTED_SECS)
}

/// A file's bytes, once two reads agree and it has not been touched in between.
fn read_still(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let mut last: Option<(Vec<u8>, Stamp)> = None;
    for _ in 0..READS_MAX {
        let before = stamp(&std::fs::metadata(path)?);
        if before.2 > FILE_MAX {
            return Err(io::Error::other(format!("is larger than {} MiB", FILE_MAX >> 20)));
        }
        let bytes = std::fs::read(path)?;
        let now = (bytes, stamp(&std::fs::metadata(path)?));
        if before == now.1 && (last.as_ref() == Some(&now) || has_rested(&now.1)) {
            return Ok(now);
        }
        last = Some(now);
        std::thread::sleep(STILL);
    }
    Err(io::Error::other("is still being written"))
}

/// The signatures that lie beside a plugin's file, if there are any.
pub(super) fn signatures_beside(path: &Path) -> io::Result<Option<String>> {
    let path = path.with_extension("wasm.sig");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(SIGNATURES_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Bytes of a file of signatures; the rest is not read.
const SIGNATURES_BYTES_MAX: u64 = 16 << 10;

/// Every plugin in a folder, in order of names.
pub(super) fn wasm_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "wasm")
    });
    files.sort();
    files
}
