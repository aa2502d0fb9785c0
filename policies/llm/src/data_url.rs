//! Addresses that hold their bytes themselves (RFC 2397).

use std::borrow::Cow;

use crate::content::Media;
use crate::json::Text;

/// What an address stands for: the bytes in it, or the place that it names.
pub(crate) fn read(url: Text<'_>) -> Media<'_> {
    let media = match url.plain() {
        Cow::Borrowed(plain) => {
            split(plain).map(|(media_type, data)| Media::Base64 { media_type: media_type.into(), data: data.into() })
        }
        Cow::Owned(plain) => split(&plain).map(|(media_type, data)| Media::Base64 {
            media_type: media_type.to_owned().into(),
            data: data.to_owned().into(),
        }),
    };
    media.unwrap_or(Media::Url { media_type: None, url })
}

/// The address that holds these bytes.
pub(crate) fn write(media_type: &Text<'_>, data: &Text<'_>) -> Text<'static> {
    format!("data:{};base64,{}", media_type.plain(), data.plain()).into()
}

/// The media type, without parameters, and the data.
fn split(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    Some((media_type.split(';').next().unwrap_or(media_type), data))
}
