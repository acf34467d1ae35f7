import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java clients end to end: producers in an open loop beside as many consumers at the end of the partitions, each with
 * its part of them. The latency is that from when a record was due until poll() returned it.
 *
 * Arguments: BOOTSTRAP TOPIC PARTITIONS CLIENTS RECORD_BYTES BATCH_RECORDS RATE WARMUP SECONDS
 *
 * Prints one line of JSON: client.py makes a report of it.
 */
public final class EndToEnd {
    private static final int LATENCY_US_MAX = 10_000_000;
    private static final long DRAIN_NS = 10_000_000_000L;

    private final String bootstrap;
    private final String topic;
    private final int partitions;
    private final int clients;
    private final int recordBytes;
    private final int batchRecords;
    private final int rate;
    private final double warmup;
    private final double seconds;
    private final CyclicBarrier start;
    // Of the monotonic clock, set when all are ready: the first record, the measured part from and to.
    private long beginNs;
    private long fromNs;
    private long toNs;

    private final AtomicIntegerArray histogram = new AtomicIntegerArray(LATENCY_US_MAX + 1);
    private final AtomicLong sent = new AtomicLong();
    private final AtomicLong dueMeasured = new AtomicLong();
    private final AtomicLong measured = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private final AtomicLong maxUs = new AtomicLong();
    private volatile boolean ended;

    private EndToEnd(String[] arguments) {
        bootstrap = arguments[0];
        topic = arguments[1];
        partitions = Integer.parseInt(arguments[2]);
        clients = Integer.parseInt(arguments[3]);
        recordBytes = Integer.parseInt(arguments[4]);
        batchRecords = Integer.parseInt(arguments[5]);
        rate = Integer.parseInt(arguments[6]);
        warmup = Double.parseDouble(arguments[7]);
        seconds = Double.parseDouble(arguments[8]);
        start = new CyclicBarrier(2 * clients, () -> {
            beginNs = System.nanoTime();
            fromNs = beginNs + (long) (warmup * 1e9);
            toNs = fromNs + (long) (seconds * 1e9);
        });
    }

    public static void main(String[] arguments) throws Exception {
        new EndToEnd(arguments).run();
        System.exit(0);
    }

    private void run() throws Exception {
        List<Thread> producers = new ArrayList<>();
        List<Thread> consumers = new ArrayList<>();
        for (int client = 0; client < clients; client++) {
            int index = client;
            consumers.add(new Thread(() -> consume(index)));
            producers.add(new Thread(() -> produce(index)));
        }
        for (Thread consumer : consumers) consumer.start();
        for (Thread producer : producers) producer.start();
        for (Thread producer : producers) producer.join();
        long until = System.nanoTime() + DRAIN_NS;
        while (measured.get() < dueMeasured.get() && System.nanoTime() < until) Thread.sleep(10);
        ended = true;
        for (Thread consumer : consumers) consumer.join();
        System.out.printf(Locale.ROOT, "{\"seconds\": %.3f, \"records\": %d, \"records_in_all\": %d, "
                + "\"errors\": {\"failed\": %d, \"missing\": %d}, "
                + "\"latency_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}}%n",
            (toNs - fromNs) / 1e9, measured.get(), sent.get(), failed.get(), dueMeasured.get() - measured.get(),
            quantileMs(0.5), quantileMs(0.99), quantileMs(0.999), maxUs.get() / 1e3);
    }

    private void waitForStart() {
        try {
            start.await();
        } catch (InterruptedException | BrokenBarrierException error) {
            throw new IllegalStateException(error);
        }
    }

    private boolean isMeasured(long dueNs) { return fromNs <= dueNs && dueNs < toNs; }

    private void produce(int index) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("acks", "all");
        config.put("linger.ms", 0);
        int own = (partitions - index + clients - 1) / clients;
        double batchNs = 1e9 * batchRecords * clients / rate;
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            waitForStart();
            for (long batch = 0;; batch++) {
                long due = beginNs + (long) (batch * batchNs);
                if (due >= toNs) return;
                for (long now = System.nanoTime(); now < due; now = System.nanoTime()) LockSupport.parkNanos(due - now);
                int partition = (int) (index + batch % own * clients);
                byte[] value = ByteBuffer.allocate(recordBytes).putLong(due).array();
                for (int record = 0; record < batchRecords; record++) {
                    producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
                        if (error != null) failed.incrementAndGet();
                    });
                }
                sent.addAndGet(batchRecords);
                if (isMeasured(due)) dueMeasured.addAndGet(batchRecords);
            }
        }
    }

    private void consume(int index) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("enable.auto.commit", false);
        List<TopicPartition> own = new ArrayList<>();
        for (int partition = index; partition < partitions; partition += clients) {
            own.add(new TopicPartition(topic, partition));
        }
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(own);
            consumer.seekToEnd(own);
            for (TopicPartition partition : own) consumer.position(partition);
            waitForStart();
            while (!ended) {
                var records = consumer.poll(Duration.ofMillis(100));
                long now = System.nanoTime();
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    long due = ByteBuffer.wrap(record.value()).getLong();
                    if (isMeasured(due)) measure((now - due) / 1_000);
                }
            }
        }
    }

    private void measure(long latencyUs) {
        long bucket = Math.min(latencyUs, LATENCY_US_MAX);
        histogram.incrementAndGet((int) bucket);
        measured.incrementAndGet();
        maxUs.accumulateAndGet(bucket, Math::max);
    }

    private double quantileMs(double quantile) {
        long wanted = (long) (quantile * measured.get());
        long seen = 0;
        for (int bucket = 0; bucket <= LATENCY_US_MAX; bucket++) {
            seen += histogram.get(bucket);
            if (seen > wanted) return bucket / 1e3;
        }
        return maxUs.get() / 1e3;
    }
}
