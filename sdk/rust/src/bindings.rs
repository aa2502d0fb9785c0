//! What `wit-bindgen` makes of the contract: one world for the services and the life
//! cycle, and one for each phase, so that a policy exports exactly what it implements.

/// The services and the life cycle, which every policy has.
pub mod policy {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package gatewright:sdk;
            world policy {
                include gatewright:policy/services@0.1.0;
                export gatewright:policy/lifecycle@0.1.0;
            }
        ",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        generate_all,
        default_bindings_module: "gatewright_sdk::bindings::policy",
    });
}

/// One module a phase, with its export macro.
macro_rules! phase {
    ($module:ident, $export:literal, $bindings:literal, $world:literal) => {
        #[doc = concat!("The phase `", stringify!($module), "`.")]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $bindings,
                with: {
                    "gatewright:policy/types@0.1.0": crate::bindings::policy::gatewright::policy::types,
                },
            });
        }
    };
}

phase!(
    on_request,
    "export_on_request",
    "gatewright_sdk::bindings::on_request",
    "package gatewright:sdk; world on-request { export gatewright:policy/on-request@0.1.0; }"
);
phase!(
    on_request_body,
    "export_on_request_body",
    "gatewright_sdk::bindings::on_request_body",
    "package gatewright:sdk; world on-request-body { export gatewright:policy/on-request-body@0.1.0; }"
);
phase!(
    on_response,
    "export_on_response",
    "gatewright_sdk::bindings::on_response",
    "package gatewright:sdk; world on-response { export gatewright:policy/on-response@0.1.0; }"
);
phase!(
    on_response_body,
    "export_on_response_body",
    "gatewright_sdk::bindings::on_response_body",
    "package gatewright:sdk; world on-response-body { export gatewright:policy/on-response-body@0.1.0; }"
);
phase!(
    on_event,
    "export_on_event",
    "gatewright_sdk::bindings::on_event",
    "package gatewright:sdk; world on-event { export gatewright:policy/on-event@0.1.0; }"
);
phase!(
    on_schedule,
    "export_on_schedule",
    "gatewright_sdk::bindings::on_schedule",
    "package gatewright:sdk; world on-schedule { export gatewright:policy/on-schedule@0.1.0; }"
);
phase!(
    on_log,
    "export_on_log",
    "gatewright_sdk::bindings::on_log",
    "package gatewright:sdk; world on-log { export gatewright:policy/on-log@0.1.0; }"
);
