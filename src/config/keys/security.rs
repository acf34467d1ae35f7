//! Keys of how a listener with SASL logs itself in. They shape nothing before there is such a listener, as in
//! Kafka, which takes and shows them without one too; what would switch SASL on is refused.

use super::keys;

const NO_SASL: &str = "no listener has SASL";

keys! {
    /// Share of a Kerberos ticket's life after which it is renewed.
    "sasl.kerberos.ticket.renew.window.factor" => double.default("0.8").per_broker().inert(NO_SASL);

    /// Random share added to the time of renewal.
    "sasl.kerberos.ticket.renew.jitter" => double.default("0.05").per_broker().inert(NO_SASL);

    /// Milliseconds that a Kerberos login waits before it tries again.
    "sasl.kerberos.min.time.before.relogin" => long.default("60000").per_broker().inert(NO_SASL);
}
