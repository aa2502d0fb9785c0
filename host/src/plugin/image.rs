//! Takes the image of a configured instance, from which every later instance starts.

use anyhow::Context;
use wasmtime::component::{Component, Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::sandbox::Sandbox;

/// A component with the functions that its image is read through.
pub(super) struct Imaging<'a> {
    wizer: Wizer,
    context: ComponentContext<'a>,
    pub(super) component: Vec<u8>,
}

/// Reads the state of an instance through the functions that were added to it.
struct Reader<'a> {
    sandbox: &'a mut Sandbox,
    instance: Instance,
    failed: Option<wasmtime::Error>,
}

impl<'a> Imaging<'a> {
    /// Prepares a component for it.
    ///
    /// # Errors
    /// Why no image of such a component can be taken.
    pub(super) fn of(component: &'a [u8]) -> anyhow::Result<Self> {
        let wizer = Wizer::new();
        let (context, component) = wizer.instrument_component(component).map_err(anyhow::Error::from)?;
        Ok(Self { wizer, context, component })
    }

    /// The component that starts where this instance is now.
    ///
    /// # Errors
    /// Why its state cannot be read.
    pub(super) async fn take(&self, sandbox: &mut Sandbox) -> anyhow::Result<Vec<u8>> {
        let instance = sandbox.instance().context("there is no instance")?;
        let mut reader = Reader { sandbox, instance, failed: None };
        let image = self.wizer.snapshot_component(&self.context, &mut reader).await;
        if let Some(error) = reader.failed {
            return Err(anyhow::Error::from(error).context("read the memory"));
        }
        image.map_err(anyhow::Error::from)
    }
}

impl Reader<'_> {
    async fn read<R: Lift + Send + Sync + 'static>(&mut self, interface: &str, function: &str) -> Option<R> {
        let read = self.try_read(interface, function).await;
        read.inspect_err(|_| ()).map_err(|error| self.failed = Some(error)).ok()
    }

    async fn try_read<R: Lift + Send + Sync + 'static>(
        &mut self,
        interface: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        let store = &mut self.sandbox.store;
        let missing = || wasmtime::format_err!("{interface}#{function} is missing");
        let interface = self.instance.get_export_index(&mut *store, None, interface).ok_or_else(missing)?;
        let function = self.instance.get_export_index(&mut *store, Some(&interface), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut *store, function)?;
        let (value,) = function.call_async(&mut *store, ()).await?;
        Ok(value)
    }
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.read::<WasmList<u8>>(instance, func).await {
            Some(list) => contents(list.as_le_slice(&self.sandbox.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read::<f32>(instance, func).await.unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read::<f64>(instance, func).await.unwrap_or_default().to_bits()
    }
}

/// Compiles a component.
///
/// # Errors
/// Why this engine cannot run it.
pub(super) fn compile(engine: &super::Engine, component: &[u8]) -> anyhow::Result<Component> {
    Component::new(&engine.0, component).map_err(anyhow::Error::from).context("compile")
}
