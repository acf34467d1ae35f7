//! Sequence numbers of idempotent producers: duplicates are recognised, gaps refused, and both survive a
//! restart.

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::clients::{self, TestProducer};
use crate::harness::now_ms;
use crate::harness::requests::{self, Produced};
use crate::harness::wire::Wire;

const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;

/// One record of a producer at a sequence number.
fn batch(producer: (i64, i16), sequence: i32) -> Vec<u8> {
    let value = sequence.to_be_bytes();
    // State of a producer that has been silent for a day is dropped at a restart: the time must be now.
    let mut batch = RawBatch::of(&[&value], now_ms());
    (batch.producer_id, batch.producer_epoch) = producer;
    batch.base_sequence = sequence;
    batch.encode()
}

fn produced(wire: &mut Wire, producer: (i64, i16), sequence: i32) -> Produced {
    requests::produce(wire, "sequences", 0, &batch(producer, sequence))
}

fn taken(base_offset: i64) -> Produced {
    Produced { error_code: 0, base_offset }
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut broker = Broker::start(2, &[]);
    let mut ids: Vec<i64> = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            let (id, epoch) = requests::init_producer_id(&mut Wire::connect(broker.address()));
            assert!(!ids.contains(&id), "id {id} again in round {round}: {ids:?}");
            assert_eq!(epoch, 0);
            ids.push(id);
        }
        if round == 0 {
            broker.stop()
        } else {
            broker.kill()
        }
        broker.restart();
    }
}

#[test]
fn the_last_five_batches_are_recognised_and_gaps_refused() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "sequences", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let producer = requests::init_producer_id(&mut wire);
    (0..8)
        .for_each(|sequence| assert_eq!(produced(&mut wire, producer, sequence), taken(i64::from(sequence))));
    for sequence in 3..8 {
        assert_eq!(
            produced(&mut wire, producer, sequence),
            taken(i64::from(sequence)),
            "a duplicate of {sequence}"
        );
    }
    assert_eq!(produced(&mut wire, producer, 10).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER, "a gap");
    assert_eq!(produced(&mut wire, producer, 1).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER, "too old to know");
    assert_eq!(produced(&mut wire, producer, 8), taken(8), "the one that is due");
    assert_eq!(clients::watermarks(&broker.bootstrap(), "sequences", 0), (0, 9));
    let other = requests::init_producer_id(&mut wire);
    assert_eq!(produced(&mut wire, other, 0), taken(9), "each producer has its own numbers");
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let broker = Broker::start(1, &[]);
    clients::create_topic(&broker.bootstrap(), "sequences", 1, &[]);
    let mut wire = Wire::connect(broker.address());
    let (id, epoch) = requests::init_producer_id(&mut wire);
    assert_eq!(produced(&mut wire, (id, epoch), 0), taken(0));
    assert_eq!(produced(&mut wire, (id, epoch + 1), 5).error_code, OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(produced(&mut wire, (id, epoch + 1), 0), taken(1));
    assert_eq!(produced(&mut wire, (id, epoch), 1).error_code, INVALID_PRODUCER_EPOCH);
}

#[test]
fn duplicates_are_recognised_after_a_restart() {
    // A snapshot of the producers, which a clean stop leaves behind, knows the last batch only, as Kafka's
    // does; a log that is read again tells of the last five.
    for (kill, remembered) in [(false, 1), (true, 5)] {
        let mut broker = Broker::start(2, &[]);
        clients::create_topic(&broker.bootstrap(), "sequences", 1, &[]);
        let producer = requests::init_producer_id(&mut Wire::connect(broker.address()));
        for round in 0..3 {
            let mut wire = Wire::connect(broker.address());
            let first = round * 6;
            if round > 0 {
                for sequence in first - remembered..first {
                    let again = produced(&mut wire, producer, sequence);
                    assert_eq!(
                        again,
                        taken(i64::from(sequence)),
                        "kill={kill}, round {round}, {sequence} again"
                    );
                }
                let gap = produced(&mut wire, producer, first + 3);
                assert_eq!(gap.error_code, OUT_OF_ORDER_SEQUENCE_NUMBER, "kill={kill}, round {round}");
            }
            for sequence in first..first + 6 {
                assert_eq!(
                    produced(&mut wire, producer, sequence),
                    taken(i64::from(sequence)),
                    "kill={kill}"
                );
            }
            if kill {
                broker.kill()
            } else {
                broker.stop()
            }
            broker.restart();
        }
        assert_eq!(clients::watermarks(&broker.bootstrap(), "sequences", 0), (0, 18));
    }
}

#[test]
fn an_idempotent_producer_writes_each_record_once() {
    let broker = Broker::start(2, &[]);
    clients::create_topic(&broker.bootstrap(), "idempotent", 4, &[]);
    let settings =
        [("enable.idempotence", "true"), ("compression.codec", "lz4"), ("batch.num.messages", "50")];
    let mut producer = TestProducer::new(&broker.bootstrap(), &settings);
    (0..4_000).for_each(|number| _ = producer.send_value("idempotent", number % 4, &number.to_be_bytes()));
    let deliveries = producer.flush_ok();
    for (number, (partition, offset)) in &deliveries {
        assert_eq!((*partition as usize, *offset as usize), (number % 4, number / 4));
    }
    (0..4).for_each(|partition| {
        assert_eq!(clients::watermarks(&broker.bootstrap(), "idempotent", partition), (0, 1_000));
    });
}
