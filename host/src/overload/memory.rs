//! How much memory the process has, how much it may have, and when it gives some back.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// Resident memory of this process in bytes; none where the system does not say.
pub(super) fn resident() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// What the cgroup of this process may have, or the machine has, in bytes; `u64::MAX` where the system does not say.
pub(super) fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kib(&text, "MemTotal:"));
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let bounds = files(&cgroups).into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    bounds.chain(machine).min().unwrap_or(u64::MAX)
}

/// Whether the allocator gives freed memory back at once. Else it does so a second later, which costs a fifth less CPU
/// with large bodies.
pub(super) fn give_back_at_once(at_once: bool) {
    static AT_ONCE: AtomicBool = AtomicBool::new(false);
    if AT_ONCE.load(Ordering::Relaxed) == at_once || AT_ONCE.swap(at_once, Ordering::Relaxed) == at_once {
        return;
    }
    #[expect(unsafe_code, reason = "the allocator is a C library, and its options have no other interface")]
    // SAFETY: both may be called by any thread at any time; they set an integer, and free what nothing refers to.
    unsafe {
        mi_option_set(PURGE_DELAY, if at_once { 0 } else { PURGE_DELAY_MS });
        if at_once {
            mi_collect(true);
        }
    }
}

/// Has this thread's heap cleaned up as long as the process holds a tenth more than it ever held at a look. The allocator
/// looks for what it can return only when a thread asks it for more, which one does not that has nothing to do any more.
pub async fn give_back_when_idle() {
    let mut least = u64::MAX;
    loop {
        let Some(bytes) = resident() else { return };
        least = least.min(bytes);
        if bytes > least + least / 10 {
            #[expect(unsafe_code, reason = "the allocator is a C library, and this has no other interface")]
            // SAFETY: it takes no pointer, and touches nothing but what this thread's heap has free.
            unsafe {
                mi_collect(true);
            }
        }
        tokio::time::sleep(LOOK_WHEN_IDLE).await;
    }
}

/// How often it is looked whether there is something to return.
const LOOK_WHEN_IDLE: Duration = Duration::from_secs(15);

/// `mi_option_purge_delay` of mimalloc 3, and its default.
const PURGE_DELAY: mi_option_t = 15;
const PURGE_DELAY_MS: i64 = 1000;

/// A figure of a file with a line for each, in kB.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that bound a process of these cgroups, its own and those above: version 2, and version 1. In a container the
/// first folder is often the process's own.
fn files(cgroups: &str) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let ancestors = Path::new(path.trim_start_matches('/')).ancestors().map(|folder| Path::new(root).join(folder));
        files.extend(ancestors.map(|folder| folder.join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::{PURGE_DELAY, PURGE_DELAY_MS, available, files, give_back_at_once, kib, resident};

    fn purge_delay() -> i64 {
        #[expect(unsafe_code, reason = "the allocator is a C library, and its options have no other interface")]
        // SAFETY: it reads an integer.
        unsafe {
            mi_option_get(PURGE_DELAY)
        }
    }

    #[test]
    fn the_allocator_takes_its_time_until_there_is_none() {
        assert_eq!(purge_delay(), PURGE_DELAY_MS);
        give_back_at_once(true);
        assert_eq!(purge_delay(), 0);
        give_back_at_once(false);
        assert_eq!(purge_delay(), PURGE_DELAY_MS);
    }

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        assert!(resident().unwrap() > 1 << 20);
        assert!(available() > resident().unwrap());
        assert_eq!(kib("VmHWM:\t 7 kB\nVmRSS:\t    12 kB\n", "VmRSS:"), Some(12 << 10));
    }

    #[test]
    fn every_cgroup_above_has_a_bound() {
        let names = |cgroups: &str| -> Vec<String> {
            files(cgroups).iter().map(|file| file.to_string_lossy().into_owned()).collect()
        };
        let second = ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"];
        assert_eq!(names("0::/a/b\n"), second);
        let first = "5:cpu,cpuacct:/x\n4:memory:/a\n";
        let memory = ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        assert_eq!(names(first), memory);
    }
}
