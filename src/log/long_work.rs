//! Work that takes long beside the other work of a core: the log says where it may pause, and what may be
//! done elsewhere; how, the shard knows.

/// How long work leaves its core to others.
#[expect(async_fn_in_trait, reason = "every future of a shard stays on its core")]
pub trait LongWork {
    /// Lets others have their turn, and may hold the work back. `bytes` were gone over since the last call.
    async fn pause(&self, bytes: u64);

    /// Does what takes longer than a turn where nobody waits for the core.
    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread>;
}

/// There is nobody to do the work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no thread for work that takes long: {cause}")]
pub struct NoThread {
    /// What the system said.
    pub cause: String,
}

/// Where there is no other work, a pause is all it takes.
impl<F: AsyncFn(u64)> LongWork for F {
    async fn pause(&self, bytes: u64) {
        self(bytes).await;
    }

    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        Ok(work())
    }
}
