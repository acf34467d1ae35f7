//! Properties over random contents: what is encoded decodes to itself, what the schema's own code says is
//! what ours says, and bytes that were damaged are refused without a panic.

#![expect(clippy::unwrap_used, reason = "what fails to unwrap fails the property")]

mod batches;
mod fetch;
mod messages;
mod produce;
