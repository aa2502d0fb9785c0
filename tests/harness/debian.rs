//! Programs of Debian's packages that tests need.

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Sees to it that a program is there, from Debian's package where it is not.
///
/// # Panics
/// Where it cannot be installed: a test that cannot be made has not passed.
pub fn debian(program: &str, package: &str) {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock();
    let is_there = || Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if is_there() {
        return;
    }
    let apt =
        |arguments: &[&str]| Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
    let install = || apt(&["install", "--yes", "--no-install-recommends", package]);
    // Where nothing was installed yet, the lists of packages are old or missing.
    let output = install()
        .and_then(|first| if first.status.success() { Ok(first) } else { apt(&["update"]).and_then(|_| install()) });
    assert!(is_there(), "{program} is not there, and apt-get did not help: {output:?}; install {package} by hand");
}
