//! Keys of listeners, connections and access.

use super::keys;

const SECURITY_PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

keys! {
    /// Addresses to listen on, as `NAME://host:port`. An empty host listens on every address.
    "listeners" => list.default("PLAINTEXT://:9092").nonempty();

    /// Addresses told to clients, as `NAME://host:port`. Unset: `listeners`, with this host's name for an
    /// empty host.
    "advertised.listeners" => list.nonempty();

    /// Which protocol each listener name speaks, as `NAME:PROTOCOL`. Only PLAINTEXT exists so far.
    "listener.security.protocol.map" => text
        .default("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL");

    /// The listener that brokers use among themselves.
    "inter.broker.listener.name" => text;

    /// The protocol that brokers use among themselves, when `inter.broker.listener.name` is unset.
    "security.inter.broker.protocol" => text.default("PLAINTEXT").one_of(SECURITY_PROTOCOLS);

    /// Listeners to open before the rest of the broker is up.
    "early.start.listeners" => list.inert("every listener opens when its shard is ready");

    /// Kafka's network threads.
    "num.network.threads" => int.default("3").at_least(1).cluster_wide()
        .inert("each CPU of `corelog.cpus` runs one shard that does everything");

    /// Kafka's request threads.
    "num.io.threads" => int.default("8").at_least(1).cluster_wide()
        .inert("each CPU of `corelog.cpus` runs one shard that does everything");

    /// Kafka's background threads.
    "background.threads" => int.default("10").at_least(1).cluster_wide()
        .inert("each CPU of `corelog.cpus` runs one shard that does everything");

    /// Requests that Kafka queues before it stops reading.
    "queued.max.requests" => int.default("500").at_least(1)
        .inert("`corelog.connection.inflight.requests.max` bounds each connection");

    /// Bytes of requests that Kafka queues before it stops reading; -1 for no limit.
    "queued.max.request.bytes" => long.default("-1")
        .inert("`corelog.connection.inflight.requests.max` bounds each connection");

    /// How long this broker waits for an answer to a request of its own.
    "request.timeout.ms" => int.default("30000");

    /// SO_SNDBUF of accepted connections; -1 leaves it to the kernel, which lets it grow. Differs from Kafka:
    /// so does leaving the key out, since large answers would leave in many small calls.
    "socket.send.buffer.bytes" => int.default("102400").at_least(-1);

    /// SO_RCVBUF of accepted connections; -1 leaves it to the kernel, which lets it grow. Differs from Kafka:
    /// so does leaving the key out, since it bounds what a distant producer may have on its way.
    "socket.receive.buffer.bytes" => int.default("102400").at_least(-1);

    /// Largest request in bytes; a larger one closes its connection.
    "socket.request.max.bytes" => int.default("104857600").at_least(1);

    /// Connections that may wait to be accepted, per listener and shard.
    "socket.listen.backlog.size" => int.default("50").at_least(1);

    /// How long this broker's own connections may take to open.
    "socket.connection.setup.timeout.ms" => long.default("10000");

    /// Bound of the growing `socket.connection.setup.timeout.ms`.
    "socket.connection.setup.timeout.max.ms" => long.default("30000");

    /// Most connections of this broker, all listeners and shards together; beyond it new ones wait. The
    /// listener between brokers goes beyond it where it is not the only one, and others lose connections.
    "max.connections" => int.default("2147483647").at_least(0).cluster_wide();

    /// Most connections from one address, all shards together; beyond it new ones are closed at once. 0 only
    /// with `max.connections.per.ip.overrides`.
    "max.connections.per.ip" => int.default("2147483647").at_least(0).cluster_wide();

    /// Other limits for some addresses, as `host:count,...`; host names are resolved at the start.
    "max.connections.per.ip.overrides" => text.default("");

    /// Most connections accepted in a second, all listeners and shards together; those beyond it wait. The
    /// listener between brokers is spared where it is not the only one.
    "max.connection.creation.rate" => int.default("2147483647").at_least(0).cluster_wide();

    /// Silence after which a connection is closed; -1 for never.
    "connections.max.idle.ms" => long.default("600000");

    /// How long the answer to a failed authentication is held back.
    "connection.failed.authentication.delay.ms" => int.default("100").at_least(0)
        .inert("no listener authenticates yet");

    /// How long an authentication lasts; 0 for ever.
    "connections.max.reauth.ms" => long.default("0").inert("no listener authenticates yet");

    /// The authorizer.
    "authorizer.class.name" => text.default("")
        .inert("every client may do everything until access control exists");
}
