//! The composition root: configuration in, running shards and listeners out, orderly shutdown.
//!
//! The calling thread checks the host, binds the ports and then waits. One executor per shard and one for
//! control do the rest. Control stops them in order when a signal comes; whatever ends otherwise ends the
//! process.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;

use crate::config::{BrokerConfig, CpuList, Listener as ListenerConfig, ShardsConfig};
use crate::log::{EnvConfig, LogEnv};
use crate::quota::ConnectionLimits;
use crate::rt::executor::{self, ExecutorConfig, ExecutorHandle, JoinError, StartError};
use crate::rt::file::DirectDisk;
use crate::rt::host::{self, DirLock, HostError};
use crate::rt::mesh::{MeshBuilder, OutsideInbox, outside};
use crate::rt::net::{self, BindError, BoundListener, Listener};
use crate::rt::{signals, task};
use crate::server::{ListenerContext, Server};
use crate::shard::control::{self, AdvertisedListener, ControlFailure, ControlSetup, ControlSignal};
use crate::shard::{Message, Shard};
use crate::types::{Prng, ShardId};

/// Of the time a stop may take, what connections get to end by themselves; the rest is for the logs.
const DRAIN_SHARE: u32 = 2;

/// Why the broker could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A port cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener's host name has no address.
    #[error("listeners={listener}: cannot resolve '{host}': {error}")]
    Resolve {
        /// The listener's name.
        listener: String,
        /// Its host.
        host: String,
        /// Why not.
        error: io::Error,
    },
    /// A host of `max.connections.per.ip.overrides` has no address.
    #[error("max.connections.per.ip.overrides: cannot resolve '{host}': {error}")]
    ResolveOverride {
        /// The host.
        host: String,
        /// Why not.
        error: io::Error,
    },
    /// A CPU that the process may not use.
    #[error("corelog.cpus: CPU {cpu} is not in this process's affinity mask {allowed:?}; name one that is")]
    Cpu {
        /// The CPU.
        cpu: usize,
        /// The affinity mask.
        allowed: Vec<usize>,
    },
    /// A thread or its io_uring could not be made.
    #[error(transparent)]
    Executor(#[from] StartError),
    /// Signals cannot be watched.
    #[error("cannot watch for SIGTERM and SIGINT: {0}")]
    Signals(io::Error),
    /// An executor ended by itself.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Control could not start or go on.
    #[error(transparent)]
    Control(#[from] ControlFailure),
}

/// Runs the broker until it is told to stop. Returns `Ok` after an orderly stop.
pub fn run(config: BrokerConfig) -> Result<(), BrokerError> {
    let host = host::check()?;
    host.warnings.iter().for_each(|warning| tracing::warn!(target: "broker", "{warning}"));
    let cpus = plan_cpus(&config.shards, host.cpus)?;
    let limits = connection_limits(&config)?;
    let locks = lock_directories(&config)?;
    let shard_count = cpus.len();
    let (listeners, endpoints) = bind(&config, shard_count)?;
    let addresses: Vec<_> =
        listeners[0].iter().map(|(name, bound)| (name.clone(), bound.local_addr())).collect();
    let mesh = Arc::new(MeshBuilder::<Message>::new(shard_count + 1));
    let mut shards = Vec::with_capacity(shard_count);
    for ((index, cpu), bound) in cpus.into_iter().enumerate().zip(listeners) {
        let (config, limits) = (config.clone(), limits.clone());
        let (mesh, seed) = (Arc::clone(&mesh), random_seed());
        let name = format!("shard-{index}");
        let executor = match cpu {
            Some(cpu) => ExecutorConfig::pinned(name, cpu),
            None => ExecutorConfig::unpinned(name),
        };
        let setup = ShardSetup { index, config, limits, bound, seed };
        shards.push(executor::spawn(executor, move || run_shard(setup, mesh))?);
    }
    let (signal, signals_inbox) = outside();
    let (ready, when_ready) = mpsc::channel();
    let control = spawn_control(&config, shard_count, mesh, endpoints, signals_inbox, ready)?;
    signals::watch(move |first| {
        tracing::info!(target: "broker", signal = %first, "stopping");
        signal.post(ControlSignal::Stop);
    })
    .map_err(BrokerError::Signals)?;
    if when_ready.recv().is_ok() {
        for (listener, address) in &addresses {
            tracing::info!(target: "broker", %listener, %address, "listening");
        }
        tracing::info!(target: "broker", node_id = %config.node_id, shards = shard_count, "ready");
    }
    // Control ends first: it stops the shards, or it failed and the process is done for.
    control.join()??;
    for shard in shards {
        shard.join()?;
    }
    drop(locks);
    tracing::info!(target: "broker", "stopped");
    Ok(())
}

fn spawn_control(
    config: &BrokerConfig,
    shard_count: usize,
    mesh: Arc<MeshBuilder<Message>>,
    endpoints: Vec<AdvertisedListener>,
    signals: OutsideInbox<ControlSignal>,
    ready: mpsc::Sender<()>,
) -> Result<ExecutorHandle<Result<(), ControlFailure>>, StartError> {
    let (config, seed) = (config.clone(), random_seed());
    let control = shard_count;
    executor::spawn(ExecutorConfig::unpinned("control"), move || async move {
        let mesh = mesh.join(control).await;
        let config = Rc::new(config);
        let setup = ControlSetup { config, mesh, signals, seed, endpoints };
        // Nobody may be waiting any more; readiness is then nobody's business.
        control::run(setup, move || ready.send(()).unwrap_or_default()).await
    })
}

/// What a shard's thread begins with.
struct ShardSetup {
    index: usize,
    config: BrokerConfig,
    limits: ConnectionLimits,
    /// The shard's share of each listener, by name.
    bound: Vec<(String, BoundListener)>,
    seed: u64,
}

/// One shard's main task.
async fn run_shard(setup: ShardSetup, mesh: Arc<MeshBuilder<Message>>) {
    let ShardSetup { index, config, limits, bound, seed } = setup;
    let config = Rc::new(config);
    let mut prng = Prng::new(seed);
    let env = EnvConfig {
        cache_bytes: config.storage.cache_bytes,
        open_files: config.storage.open_files_max,
        sends_files: config.storage.sends_files,
        seed: prng.next_u64(),
    };
    let env = LogEnv::new(DirectDisk::new(), env);
    let mesh = mesh.join(index).await;
    let drain_patience = config.shutdown_timeout / DRAIN_SHARE;
    let id = ShardId(u16::try_from(index).expect("the number of shards fits 16 bits"));
    let shard = Shard::new(id, Rc::clone(&config), mesh, env, limits, Prng::new(prng.next_u64()));
    task::spawn(Rc::clone(&shard).run_inbox()).detach();
    task::spawn_background(Rc::clone(&shard).run_background()).detach();
    task::spawn_background(Rc::clone(&shard).run_checkpoints()).detach();
    task::spawn_background(Rc::clone(&shard).run_verification()).detach();
    task::spawn(Rc::clone(&shard).run_group_timers()).detach();
    task::spawn_background(Rc::clone(&shard).run_group_lag()).detach();
    task::spawn_background(Rc::clone(&shard).run_cleaner()).detach();
    shard.started().await;
    let server = Server::new(Rc::clone(&shard), prng);
    task::spawn(Rc::clone(&server).run_idle_sweep()).detach();
    task::spawn(Rc::clone(&server).run_shedding()).detach();
    task::spawn(Rc::clone(&server).run_arrivals()).detach();
    for (name, bound) in bound {
        let network = &config.network;
        let is_protected = name == network.inter_broker_listener && 1 < network.listeners.len();
        let context = Rc::new(ListenerContext { name, is_protected });
        let listener = Listener::from_bound(bound);
        task::spawn(crate::server::serve(Rc::clone(&server), listener, context)).detach();
    }
    shard.draining().await;
    server.drain(drain_patience).await;
    shard.finish().await;
}

fn lock_directories(config: &BrokerConfig) -> Result<Vec<DirLock>, HostError> {
    let mut dirs: Vec<PathBuf> = config.log_dirs.clone();
    if !dirs.contains(&config.metadata_log_dir) {
        dirs.push(config.metadata_log_dir.clone());
    }
    dirs.iter().map(|dir| host::lock_dir(dir)).collect()
}

/// The limits with the addresses of named hosts.
fn connection_limits(config: &BrokerConfig) -> Result<ConnectionLimits, BrokerError> {
    let network = &config.network;
    let mut overrides = HashMap::new();
    for (host, count) in &network.connections_per_ip_overrides {
        // Of several addresses the first, as Kafka takes it (`InetAddress.getByName`).
        let resolved = (host.as_str(), 0)
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)));
        let resolved =
            resolved.map_err(|error| BrokerError::ResolveOverride { host: host.clone(), error })?;
        overrides.insert(resolved.ip().to_canonical(), *count);
    }
    Ok(ConnectionLimits {
        total: network.connections_max,
        per_ip: network.connections_per_ip_max,
        creations_per_second: network.connection_creation_rate_max,
        overrides,
    })
}

type ShardListeners = Vec<Vec<(String, BoundListener)>>;

/// Binds every listener once per shard. Returns them by shard, and what each advertises, with the port the
/// kernel chose where the configuration says 0.
fn bind(
    config: &BrokerConfig,
    shard_count: usize,
) -> Result<(ShardListeners, Vec<AdvertisedListener>), BrokerError> {
    let mut by_shard: ShardListeners = (0..shard_count).map(|_| Vec::new()).collect();
    let mut endpoints = Vec::new();
    for listener in &config.network.listeners {
        let addr = resolve(listener)?;
        let backlog = i32::try_from(config.network.listen_backlog).unwrap_or(i32::MAX);
        let bound = net::bind(addr, shard_count, backlog)?;
        let (send, receive) = (config.network.send_buffer_bytes, config.network.receive_buffer_bytes);
        for of_shard in &bound {
            of_shard.set_buffers(send, receive).map_err(|source| BindError::Os { addr, source })?;
        }
        let port = bound[0].local_addr().port();
        for (of_shard, bound) in by_shard.iter_mut().zip(bound) {
            of_shard.push((listener.name.clone(), bound));
        }
        let advertised = config.network.advertised_listeners.iter().find(|of| of.name == listener.name);
        if let Some(advertised) = advertised {
            let port = if advertised.port == 0 { port } else { advertised.port };
            let (name, host) = (advertised.name.clone(), advertised.host.clone());
            endpoints.push(AdvertisedListener { name, host, port });
        }
    }
    Ok((by_shard, endpoints))
}

/// The address to bind; no host means every address of this machine.
fn resolve(listener: &ListenerConfig) -> Result<SocketAddr, BrokerError> {
    let refuse =
        |error| BrokerError::Resolve { listener: listener.name.clone(), host: listener.host.clone(), error };
    if listener.host.is_empty() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, listener.port)));
    }
    let mut found = (listener.host.as_str(), listener.port).to_socket_addrs().map_err(refuse)?;
    found.next().ok_or_else(|| refuse(io::Error::from(io::ErrorKind::NotFound)))
}

/// The CPU of each shard; `None` runs unpinned. One shard per CPU, unless `corelog.shards` says otherwise.
fn plan_cpus(config: &ShardsConfig, allowed: Vec<usize>) -> Result<Vec<Option<usize>>, BrokerError> {
    let cpus: Vec<usize> = match &config.cpus {
        CpuList::All => allowed.clone(),
        CpuList::Listed(wanted) => {
            if let Some(cpu) = wanted.iter().find(|cpu| !allowed.contains(cpu)) {
                return Err(BrokerError::Cpu { cpu: *cpu, allowed });
            }
            wanted.clone()
        }
    };
    let count = config.count.map_or(cpus.len(), usize::from);
    if cpus.len() < count {
        let cpus = cpus.len();
        tracing::warn!(target: "broker", shards = count, cpus, "more shards than CPUs: unpinned");
        return Ok(vec![None; count]);
    }
    Ok(cpus.into_iter().take(count).map(Some).collect())
}

/// A seed that no two starts share. Ids that clients see follow from it, so it comes from the kernel.
fn random_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 ^ uuid::Uuid::new_v4().as_u64_pair().1
}
