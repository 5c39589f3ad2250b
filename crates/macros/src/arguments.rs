//! What stands in the parentheses of an attribute.

use syn::meta::ParseNestedMeta;
use syn::{Error, LitStr, Result};

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
}

impl Arguments {
    pub(crate) fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let slot = if meta.path.is_ident("name") {
            &mut self.name
        } else if meta.path.is_ident("version") {
            &mut self.version
        } else {
            return Err(meta.error("unknown argument: `name = \"..\"` and `version = \"..\"` are known"));
        };
        let text: LitStr = meta.value()?.parse()?;
        if text.value().is_empty() {
            return Err(Error::new(text.span(), "this text must not be empty"));
        }
        if slot.replace(text).is_some() {
            return Err(meta.error("given twice"));
        }
        Ok(())
    }
}
