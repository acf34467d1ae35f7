/* librdkafka as a load on a broker, on several connections, each with its part of the partitions:
 *
 *   librdkafka BOOTSTRAP TOPIC PARTITIONS CLIENTS RECORD_BYTES BATCH_RECORDS RATE WARMUP SECONDS
 *
 * With RATE 0 it produces as fast as it can, and the latency is that from rd_kafka_produce() to the acknowledgement.
 * Otherwise it produces RATE records per second in an open loop beside as many consumers at the end of the partitions,
 * and the latency is that from when a record was due until a consumer has it.
 * Prints one line of JSON: client.py makes a report of it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rdkafka.h"

enum { LATENCY_US_MAX = 10 * 1000 * 1000, CLIENTS_MAX = 64, POLLED_MAX = 1000, DRAIN_SECONDS = 10 };

static const char *bootstrap, *topic_name;
static int partitions, clients, record_bytes, batch_records, rate;
/* Microseconds of the monotonic clock: the first record, the measured part from and to. */
static int64_t begin_us, from_us, to_us;

static _Atomic uint32_t histogram[LATENCY_US_MAX + 1];
static atomic_long sent, due_measured, measured, failed, max_us;
static atomic_int ended;
static pthread_barrier_t start;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void sleep_until(int64_t at_us) {
    struct timespec at = {at_us / 1000000, at_us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void measure(int64_t latency_us) {
    int64_t bucket = latency_us < 0 ? 0 : latency_us > LATENCY_US_MAX ? LATENCY_US_MAX : latency_us;
    atomic_fetch_add(&histogram[bucket], 1);
    atomic_fetch_add(&measured, 1);
    long highest = atomic_load(&max_us);
    while (highest < bucket && !atomic_compare_exchange_weak(&max_us, &highest, bucket)) {}
}

static double quantile_ms(double quantile) {
    uint64_t wanted = quantile * measured, seen = 0;
    for (int64_t bucket = 0; bucket <= LATENCY_US_MAX; bucket++) {
        seen += histogram[bucket];
        if (seen > wanted) return bucket / 1e3;
    }
    return max_us / 1e3;
}

/* Waits until all are ready, and then until main has set the times. */
static void wait_for_start(void) {
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&start);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "%s=%s: %s\n", key, value, why);
        exit(1);
    }
}

static void set_number(rd_kafka_conf_t *conf, const char *key, long value) {
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    set(conf, key, text);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    set(conf, "bootstrap.servers", bootstrap);
    rd_kafka_t *made = rd_kafka_new(type, conf, why, sizeof why);
    if (!made) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    return made;
}

static void acknowledged(rd_kafka_t *producer, const rd_kafka_message_t *record, void *opaque) {
    (void)producer, (void)opaque;
    int64_t now = now_us();
    if (record->err)
        atomic_fetch_add(&failed, 1);
    else if (!rate && from_us <= now && now < to_us)
        measure(rd_kafka_message_latency(record));
}

static void send_record(rd_kafka_t *producer, rd_kafka_topic_t *topic, int partition, char *value, int64_t due_us) {
    memcpy(value, &due_us, sizeof due_us);
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, record_bytes, NULL, 0, NULL) == -1) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            atomic_fetch_add(&failed, 1);
            return;
        }
        rd_kafka_poll(producer, 10);
    }
    atomic_fetch_add(&sent, 1);
    if (from_us <= due_us && due_us < to_us) atomic_fetch_add(&due_measured, 1);
}

static void *produce(void *argument) {
    int index = (int)(intptr_t)argument, own = (partitions - index + clients - 1) / clients;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "acks", "all");
    set_number(conf, "batch.num.messages", batch_records);
    set_number(conf, "max.in.flight", 5);
    if (rate)
        set(conf, "linger.ms", "0");
    else /* What is in flight and a little more: a longer queue would be all that the latency tells of. */
        set_number(conf, "queue.buffering.max.messages", 8L * batch_records * own);
    rd_kafka_conf_set_dr_msg_cb(conf, acknowledged);
    rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, topic_name, NULL);
    char *value = malloc(record_bytes);
    memset(value, 'x', record_bytes);
    double batch_us = rate ? 1e6 * batch_records * clients / rate : 0;
    wait_for_start();
    for (int64_t batch = 0;; batch++) {
        int64_t due_us = rate ? begin_us + (int64_t)(batch * batch_us) : now_us();
        if (due_us >= to_us) break;
        if (rate) sleep_until(due_us);
        for (int record = 0; record < batch_records; record++)
            send_record(producer, topic, index + batch % own * clients, value, due_us);
        rd_kafka_poll(producer, 0);
    }
    if (rd_kafka_flush(producer, DRAIN_SECONDS * 1000)) atomic_fetch_add(&failed, rd_kafka_outq_len(producer));
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    free(value);
    return NULL;
}

static void *consume(void *argument) {
    int index = (int)(intptr_t)argument;
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, rd_kafka_conf_new());
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, topic_name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer);
    for (int partition = index; partition < partitions; partition += clients) {
        int64_t low, high;
        if (rd_kafka_query_watermark_offsets(consumer, topic_name, partition, &low, &high, DRAIN_SECONDS * 1000))
            atomic_fetch_add(&failed, 1);
        else
            rd_kafka_consume_start_queue(topic, partition, high, queue);
    }
    wait_for_start();
    while (!ended) {
        rd_kafka_message_t *records[POLLED_MAX];
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, records, POLLED_MAX);
        int64_t now = now_us(), due_us;
        for (ssize_t at = 0; at < count; at++) {
            if (records[at]->err) {
                atomic_fetch_add(&failed, 1);
            } else {
                memcpy(&due_us, records[at]->payload, sizeof due_us);
                if (from_us <= due_us && due_us < to_us) measure(now - due_us);
            }
            rd_kafka_message_destroy(records[at]);
        }
    }
    for (int partition = index; partition < partitions; partition += clients) rd_kafka_consume_stop(topic, partition);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(consumer);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 10) {
        fprintf(stderr, "BOOTSTRAP TOPIC PARTITIONS CLIENTS RECORD_BYTES BATCH_RECORDS RATE WARMUP SECONDS\n");
        return 1;
    }
    bootstrap = arguments[1], topic_name = arguments[2];
    partitions = atoi(arguments[3]), clients = atoi(arguments[4]), record_bytes = atoi(arguments[5]);
    batch_records = atoi(arguments[6]), rate = atoi(arguments[7]);
    if (clients < 1 || clients > CLIENTS_MAX || partitions < clients || record_bytes < 8 || batch_records < 1) {
        fprintf(stderr, "1 to %d clients, a partition for each, 8 bytes a record, 1 record a batch\n", CLIENTS_MAX);
        return 1;
    }

    pthread_barrier_init(&start, NULL, (rate ? 2 : 1) * clients + 1);
    pthread_t producers[CLIENTS_MAX], consumers[CLIENTS_MAX];
    for (intptr_t index = 0; index < clients; index++) {
        if (rate) pthread_create(&consumers[index], NULL, consume, (void *)index);
        pthread_create(&producers[index], NULL, produce, (void *)index);
    }
    pthread_barrier_wait(&start);
    begin_us = now_us();
    from_us = begin_us + (int64_t)(atof(arguments[8]) * 1e6);
    to_us = from_us + (int64_t)(atof(arguments[9]) * 1e6);
    pthread_barrier_wait(&start);
    for (int index = 0; index < clients; index++) pthread_join(producers[index], NULL);
    long missing = 0;
    if (rate) {
        int64_t until_us = now_us() + DRAIN_SECONDS * 1000000LL;
        while (measured < due_measured && now_us() < until_us) sleep_until(now_us() + 10000);
        missing = due_measured - measured;
        ended = 1;
        for (int index = 0; index < clients; index++) pthread_join(consumers[index], NULL);
    }
    printf("{\"seconds\": %.3f, \"records\": %ld, \"records_in_all\": %ld, \"errors\": {\"failed\": %ld, \"missing\": %ld}, "
           "\"latency_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}}\n",
           (to_us - from_us) / 1e6, (long)measured, (long)sent, (long)failed, missing, quantile_ms(0.5),
           quantile_ms(0.99), quantile_ms(0.999), max_us / 1e3);
    return 0;
}
