//! A folder of files that are kept for later: each is written whole, and goes when nobody asked for it in a long time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// A folder of files that end alike. Other files in it are left alone.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    ending: &'static str,
}

/// Files that nobody asked for in this long go.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Those asked for the longest ago go first past this many bytes.
const BYTES_MAX: u64 = 2 << 30;
/// What a file ends with until it is whole.
const DRAFT: &str = "part";

impl Shelf {
    /// Files in a folder that end with a dot and this.
    #[must_use]
    pub const fn new(folder: PathBuf, ending: &'static str) -> Self {
        Self { folder, ending }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file of a name is, if it is kept.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}", self.ending))
    }

    /// Opens the file of a name. That decides which files go.
    ///
    /// # Errors
    /// Where it cannot be opened, or is not kept.
    pub fn open(&self, name: &str) -> io::Result<File> {
        let file = File::open(self.path(name))?;
        if let Err(error) = file.set_modified(SystemTime::now()) {
            tracing::debug!(%error, name, "a kept file cannot be marked as used");
        }
        Ok(file)
    }

    /// Keeps these bytes, one after the other, under a name; never half of them.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn keep(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let path = self.path(name);
        let draft = write_draft(&path, parts)?;
        std::fs::rename(draft, path)
    }

    /// Removes the file of a name.
    pub fn remove(&self, name: &str) {
        remove(&self.path(name));
    }

    /// Removes what nobody asked for in a long time, and the oldest where there is too much.
    pub fn clean(&self) {
        self.clean_to(UNUSED_MAX, BYTES_MAX);
    }

    fn clean_to(&self, unused_max: Duration, bytes_max: u64) {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return };
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = files
            .filter_map(|file| {
                let (path, metadata) = (file.as_ref().ok()?.path(), file.ok()?.metadata().ok()?);
                let ours = path.extension().is_some_and(|ending| ending == self.ending || ending == DRAFT);
                Some((metadata.modified().ok().filter(|_| ours)?, metadata.len(), path))
            })
            .collect();
        kept.sort_by_key(|(modified, _, _)| std::cmp::Reverse(*modified));
        let mut bytes = 0_u64;
        for (modified, length, path) in kept {
            bytes = bytes.saturating_add(length);
            let unused = modified.elapsed().is_ok_and(|since| since > unused_max);
            if unused || bytes > bytes_max {
                remove(&path);
            }
        }
    }
}

/// Writes a file in place of one that is missing; one that is there stays as it is.
///
/// # Errors
/// Where it cannot be written.
pub fn write_if_missing(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, &[bytes])?;
    // A link never replaces what is there, and whoever finds it finds all of it, even after a crash.
    let linked = File::open(&draft).and_then(|file| file.sync_all()).and_then(|()| std::fs::hard_link(&draft, path));
    remove(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Writes a file that only we may read beside the one that it is to become. Nothing waits for the disk: who reads what is
/// kept finds out whether a crash tore it.
fn write_draft(path: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{count}.{DRAFT}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    if written.is_err() {
        remove(&draft);
    }
    written.map(|()| draft)
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "a kept file cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::{Shelf, UNUSED_MAX, write_if_missing};

    fn names(shelf: &Shelf) -> Vec<String> {
        let files = std::fs::read_dir(shelf.folder()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn shelf(names: &[&str]) -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_path_buf(), "kept");
        for (age, name) in names.iter().enumerate() {
            shelf.keep(name, &[b"four", b" and", b" six"]).unwrap();
            let modified = SystemTime::now() - Duration::from_secs(60 * age as u64);
            File::open(shelf.path(name)).unwrap().set_modified(modified).unwrap();
        }
        (folder, shelf)
    }

    #[test]
    fn what_is_kept_is_whole_and_leaves_no_draft() {
        let (_folder, shelf) = shelf(&["a"]);
        assert_eq!(std::io::read_to_string(shelf.open("a").unwrap()).unwrap(), "four and six");
        shelf.keep("a", &[b"other"]).unwrap();
        assert_eq!(std::io::read_to_string(shelf.open("a").unwrap()).unwrap(), "other");
        assert!(shelf.open("b").is_err());
        assert_eq!(names(&shelf), ["a.kept"]);
        shelf.remove("a");
        assert_eq!(names(&shelf), [""; 0]);
    }

    #[test]
    fn what_nobody_asked_for_goes_and_other_files_stay() {
        let (_folder, shelf) = shelf(&["a", "b", "c"]);
        std::fs::write(shelf.folder().join("key"), "k").unwrap();
        shelf.clean();
        assert_eq!(names(&shelf), ["a.kept", "b.kept", "c.kept", "key"]);
        shelf.open("c").unwrap();
        let long_ago = SystemTime::now() - UNUSED_MAX - Duration::from_secs(1);
        for name in ["b.kept", "key"] {
            File::open(shelf.folder().join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        shelf.clean();
        assert_eq!(names(&shelf), ["a.kept", "c.kept", "key"]);
    }

    #[test]
    fn the_oldest_go_where_there_is_too_much() {
        let (_folder, shelf) = shelf(&["a", "b", "c"]);
        shelf.clean_to(UNUSED_MAX, 36);
        assert_eq!(names(&shelf), ["a.kept", "b.kept", "c.kept"]);
        shelf.clean_to(UNUSED_MAX, 35);
        assert_eq!(names(&shelf), ["a.kept", "b.kept"]);
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let (_folder, shelf) = shelf(&[]);
        let path = shelf.folder().join("key");
        write_if_missing(&path, b"first").unwrap();
        write_if_missing(&path, b"second").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first");
        assert_eq!(names(&shelf), ["key"]);
    }
}
