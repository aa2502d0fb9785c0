//! The contract's `types.exchange` on the host's side.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::gatewright::policy::types::{HeaderError, HostExchange, Scalar, WriteError};
use super::call::Call;
use super::handles::{ExchangeHandle, FieldsHandle};
use super::host_types::{NO_EXCHANGE, REQUEST_FIELDS, RESPONSE_FIELDS, header_error};
use crate::exchange;

impl HostExchange for Call {
    fn id(&mut self, _: Resource<ExchangeHandle>) -> Result<String> {
        Ok(self.exchange()?.id.clone())
    }

    fn method(&mut self, _: Resource<ExchangeHandle>) -> Result<String> {
        Ok(self.exchange()?.request.method.as_str().to_owned())
    }

    fn scheme(&mut self, _: Resource<ExchangeHandle>) -> Result<String> {
        Ok(self.exchange()?.request.scheme.to_owned())
    }

    fn authority(&mut self, _: Resource<ExchangeHandle>) -> Result<String> {
        Ok(self.exchange()?.request.authority.clone())
    }

    fn path(&mut self, _: Resource<ExchangeHandle>) -> Result<String> {
        Ok(self.exchange()?.request.path.clone())
    }

    fn query(&mut self, _: Resource<ExchangeHandle>) -> Result<Option<String>> {
        Ok(self.exchange()?.request.query.clone())
    }

    fn property(&mut self, _: Resource<ExchangeHandle>, name: String) -> Result<Option<Scalar>> {
        Ok(self.exchange()?.property(&name).map(to_guest))
    }

    fn set_method(&mut self, _: Resource<ExchangeHandle>, method: String) -> Result<Result<(), WriteError>> {
        Ok(self.exchange()?.set_method(&method).map_err(write_error))
    }

    fn set_path(
        &mut self,
        _: Resource<ExchangeHandle>,
        path: String,
        query: Option<String>,
    ) -> Result<Result<(), WriteError>> {
        Ok(self.exchange()?.set_path(path, query).map_err(write_error))
    }

    fn set_authority(&mut self, _: Resource<ExchangeHandle>, authority: String) -> Result<Result<(), WriteError>> {
        Ok(self.exchange()?.set_authority(&authority).map_err(write_error))
    }

    fn set_upstream(&mut self, _: Resource<ExchangeHandle>, name: String) -> Result<Result<(), WriteError>> {
        Ok(self.exchange()?.set_upstream(&name).map_err(write_error))
    }

    fn request_headers(&mut self, _: Resource<ExchangeHandle>) -> Result<Resource<FieldsHandle>> {
        Ok(self.hand_over(REQUEST_FIELDS))
    }

    fn response_headers(&mut self, _: Resource<ExchangeHandle>) -> Result<Option<Resource<FieldsHandle>>> {
        let has_response = self.exchange()?.response.is_some();
        Ok(has_response.then(|| self.hand_over(RESPONSE_FIELDS)))
    }

    fn response_status(&mut self, _: Resource<ExchangeHandle>) -> Result<Option<u16>> {
        Ok(self.exchange()?.response.as_ref().map(|response| response.status.as_u16()))
    }

    fn set_response_status(&mut self, _: Resource<ExchangeHandle>, status: u16) -> Result<Result<(), WriteError>> {
        Ok(self.exchange()?.set_response_status(status).map_err(write_error))
    }

    fn get_metadata(&mut self, _: Resource<ExchangeHandle>, name: String) -> Result<Option<Scalar>> {
        Ok(self.exchange()?.metadata(&name).cloned().map(to_guest))
    }

    fn put_metadata(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
        value: Scalar,
    ) -> Result<Result<(), WriteError>> {
        self.write_metadata(name, value)
    }

    fn get_state(&mut self, _: Resource<ExchangeHandle>, key: String) -> Result<Option<Vec<u8>>> {
        let policy = self.policy;
        Ok(self.exchange()?.state(policy, &key).map(<[u8]>::to_vec))
    }

    fn put_state(
        &mut self,
        _: Resource<ExchangeHandle>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), WriteError>> {
        let policy = self.policy;
        Ok(self.exchange()?.put_state(policy, key, value).map_err(write_error))
    }

    fn request_header(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
    ) -> Result<Result<Option<String>, HeaderError>> {
        let one = exchange::one(&self.exchange()?.request.headers, &name);
        Ok(one.map(|value| value.map(str::to_owned)).map_err(header_error))
    }

    fn put_metadata_many(
        &mut self,
        _: Resource<ExchangeHandle>,
        entries: Vec<(String, Scalar)>,
    ) -> Result<Result<(), WriteError>> {
        let mut entries = entries.into_iter();
        let failed = entries.find_map(|(name, value)| match self.write_metadata(name, value) {
            Ok(Ok(())) => None,
            failed => Some(failed),
        });
        failed.unwrap_or(Ok(Ok(())))
    }

    fn set_response_header(
        &mut self,
        _: Resource<ExchangeHandle>,
        name: String,
        value: String,
    ) -> Result<Result<(), HeaderError>> {
        let policy = self.policy;
        Ok(self.exchange()?.set_response_header(policy, &name, &value).map_err(header_error))
    }

    fn drop(&mut self, _: Resource<ExchangeHandle>) -> Result<()> {
        Ok(())
    }
}

impl Call {
    fn write_metadata(&mut self, name: String, value: Scalar) -> Result<Result<(), WriteError>> {
        let exchange = self.exchange.as_deref_mut().ok_or_else(|| wasmtime::format_err!(NO_EXCHANGE))?;
        Ok(exchange.put_metadata(&self.services.grants.metadata, name, of_guest(value)).map_err(write_error))
    }
}

fn of_guest(scalar: Scalar) -> exchange::Scalar {
    match scalar {
        Scalar::Text(text) => exchange::Scalar::Text(text),
        Scalar::Number(number) => exchange::Scalar::Number(number),
        Scalar::Boolean(boolean) => exchange::Scalar::Boolean(boolean),
    }
}

fn to_guest(scalar: exchange::Scalar) -> Scalar {
    match scalar {
        exchange::Scalar::Text(text) => Scalar::Text(text),
        exchange::Scalar::Number(number) => Scalar::Number(number),
        exchange::Scalar::Boolean(boolean) => Scalar::Boolean(boolean),
    }
}

fn write_error(error: exchange::WriteError) -> WriteError {
    match error {
        exchange::WriteError::Invalid => WriteError::Invalid,
        exchange::WriteError::NotFound => WriteError::NotFound,
        exchange::WriteError::NotGranted => WriteError::NotGranted,
        exchange::WriteError::TooLarge => WriteError::TooLarge,
        exchange::WriteError::TooLate => WriteError::TooLate,
    }
}
