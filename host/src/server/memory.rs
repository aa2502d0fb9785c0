//! Gives memory back to the system that a burst left behind. The allocator looks for what it can return only when a thread
//! asks it for more, which one does not that has nothing to do any more.

use std::time::Duration;

/// How often it is looked whether there is something to return.
const LOOK: Duration = Duration::from_secs(15);

/// Has this thread's heap cleaned up as long as the process holds a tenth more than it ever held at a look.
pub(super) async fn give_back() {
    let mut least = u64::MAX;
    loop {
        let Some(pages) = resident_pages() else { return };
        least = least.min(pages);
        if pages > least + least / 10 {
            collect();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The second figure of proc_pid_statm(5).
fn resident_pages() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}

#[expect(unsafe_code, reason = "the allocator's crate has no safe form of it")]
fn collect() {
    // SAFETY: It takes no pointer, and touches nothing but what this thread's heap has free.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
