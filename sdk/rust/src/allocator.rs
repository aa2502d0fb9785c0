//! The allocator on WebAssembly. Growing the memory costs more than a call, and so does each page that every call begins
//! with: the heap begins in what the module's last page has left, and `configure` makes room for the calls.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};

use dlmalloc::{Allocator, Dlmalloc};

/// What `dlmalloc` asks the system for is a multiple of this, so a small first request fits the rest of a page.
const GRANULARITY_BYTES: usize = 4096;
const WASM_PAGE_BYTES: usize = 64 * 1024;

// SAFETY: the linker defines both; only their addresses are used.
unsafe extern "C" {
    static __heap_base: u8;
    static __heap_end: u8;
}

/// Hands out what is left of the module's last page first, then new pages.
struct Pages {
    rest_taken: Cell<bool>,
}

/// Makes sure of so many free bytes in one piece.
pub(crate) fn reserve(bytes: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}

/// The memory between the module's data and the end of its last page.
fn rest_of_page() -> (*mut u8, usize) {
    let (base, end) = (&raw const __heap_base, &raw const __heap_end);
    (base.cast_mut(), end.addr().saturating_sub(base.addr()))
}

// SAFETY: every region is handed out once and is zeroed: the rest of the page is part of the zeroed
// memory of the module, and `memory.grow` adds zeroed pages. None is ever taken back.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let (rest, rest_bytes) = rest_of_page();
        if size <= rest_bytes && !self.rest_taken.replace(true) {
            return (rest, rest_bytes, 0);
        }
        let pages = size.div_ceil(WASM_PAGE_BYTES);
        let before = std::arch::wasm32::memory_grow::<0>(pages);
        if before == usize::MAX {
            return (std::ptr::null_mut(), 0, 0);
        }
        (std::ptr::without_provenance_mut(before * WASM_PAGE_BYTES), pages * WASM_PAGE_BYTES, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        WASM_PAGE_BYTES
    }
}

/// The global allocator of a policy.
struct Heap(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: a policy's module has no threads.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new({
    let mut heap = Dlmalloc::new_with_allocator(Pages { rest_taken: Cell::new(false) });
    heap.set_granularity(GRANULARITY_BYTES);
    heap
}));

// SAFETY: the calls go to `dlmalloc` with the caller's own guarantees. Nothing else borrows
// the heap: there are no threads, and `dlmalloc` does not call back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the impl.
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the impl.
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: as for the impl.
        unsafe { (*self.0.get()).free(address, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for the impl.
        unsafe { (*self.0.get()).realloc(address, layout.size(), layout.align(), size) }
    }
}
