//! The macro that turns a [`Policy`](crate::Policy) into a component.

/// Exports a policy with the phases that it implements.
///
/// ```ignore
/// gatewright_sdk::export!(KeyAuth: on_request);
/// gatewright_sdk::export!(Translate: on_request_body, on_response, on_response_body, on_event);
/// ```
#[macro_export]
macro_rules! export {
    ($policy:ident : $($phase:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            std::thread_local! {
                static SLOT: std::cell::OnceCell<$policy> = const { std::cell::OnceCell::new() };
            }
            impl $crate::guest::Hosted for $policy {
                fn slot() -> &'static std::thread::LocalKey<std::cell::OnceCell<Self>> {
                    &SLOT
                }
            }
            type Exported = $crate::guest::Adapter<$policy>;
            $crate::bindings::policy::export_lifecycle!(
                Exported with_types_in $crate::bindings::policy
            );
            $($crate::export_phase!($phase);)+
        };
    };
}

/// One arm a phase, as a macro's name cannot be put together in stable Rust.
#[doc(hidden)]
#[macro_export]
macro_rules! export_phase {
    (on_request) => {
        $crate::bindings::on_request::export_on_request!(Exported with_types_in $crate::bindings::on_request);
    };
    (on_request_body) => {
        $crate::bindings::on_request_body::export_on_request_body!(
            Exported with_types_in $crate::bindings::on_request_body
        );
    };
    (on_response) => {
        $crate::bindings::on_response::export_on_response!(Exported with_types_in $crate::bindings::on_response);
    };
    (on_response_body) => {
        $crate::bindings::on_response_body::export_on_response_body!(
            Exported with_types_in $crate::bindings::on_response_body
        );
    };
    (on_event) => {
        $crate::bindings::on_event::export_on_event!(Exported with_types_in $crate::bindings::on_event);
    };
    (on_schedule) => {
        $crate::bindings::on_schedule::export_on_schedule!(Exported with_types_in $crate::bindings::on_schedule);
    };
    (on_log) => {
        $crate::bindings::on_log::export_on_log!(Exported with_types_in $crate::bindings::on_log);
    };
}
