//! What a guest holds of the host's things. A handle's number says which thing it is; the thing stays in the call.

/// The one exchange of a call.
#[derive(Debug)]
pub struct ExchangeHandle;

/// A header section: the request's, the response's, or a reply's.
#[derive(Debug)]
pub struct FieldsHandle;

/// The one body of a call.
#[derive(Debug)]
pub struct BodyHandle;

/// A reply that the guest is making.
#[derive(Debug)]
pub struct ReplyHandle;

/// A secret that the guest opened.
#[derive(Debug)]
pub struct SecretHandle;

/// A request that the guest is making.
#[derive(Debug)]
pub struct OutboundHandle;

/// A request that the guest started.
#[derive(Debug)]
pub struct PendingHandle;

/// A response that came to the guest.
#[derive(Debug)]
pub struct ResponseHandle;

/// A store that the guest opened.
#[derive(Debug)]
pub struct StoreHandle;
