// Command conformance drives franz-go against the broker named by its first argument: every codec, keys, headers,
// acknowledgements, reading from the start, from the middle and by time. It prints one line per check.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const records = 5000

var failures int

func check(what string, err error) {
	if err != nil {
		failures++
		fmt.Printf("FAILED  %s: %v\n", what, err)
		return
	}
	fmt.Printf("ok      %s\n", what)
}

func main() {
	seed := os.Args[1]
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	plain, err := kgo.NewClient(kgo.SeedBrokers(seed))
	if err != nil {
		panic(err)
	}
	admin := kadm.NewClient(plain)
	run := time.Now().UnixNano()
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		topic := fmt.Sprintf("go-%s-%d", name, run)
		_, err := admin.CreateTopic(ctx, 3, -1, nil, topic)
		check("create "+topic, err)
		check(name+": produce", produce(ctx, seed, topic, codec))
		check(name+": consume", consume(ctx, seed, topic))
		check(name+": from the middle", fromTheMiddle(ctx, seed, topic))
		check(name+": offsets", offsets(ctx, admin, topic))
	}
	topic := fmt.Sprintf("go-none-%d", run)
	_, err = admin.CreateTopic(ctx, 3, -1, nil, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		err = nil
	} else {
		err = fmt.Errorf("expected TOPIC_ALREADY_EXISTS, found %v", err)
	}
	check("a topic cannot be created twice", err)
	_, err = admin.DeleteTopic(ctx, topic)
	check("delete "+topic, err)
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck()} {
		check(fmt.Sprintf("acks %v", acks), produceWithAcks(ctx, seed, fmt.Sprintf("go-lz4-%d", run), acks))
	}
	if failures > 0 {
		os.Exit(1)
	}
}

func value(number int) []byte { return []byte(fmt.Sprintf("value-%d-%0100d", number, number)) }

func produce(ctx context.Context, seed, topic string, codec kgo.CompressionCodec) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	var batch []*kgo.Record
	for number := 0; number < records; number++ {
		batch = append(batch, &kgo.Record{
			Partition: int32(number % 3),
			Key:       []byte(fmt.Sprint(number)),
			Value:     value(number),
			Headers:   []kgo.RecordHeader{{Key: "number", Value: []byte(fmt.Sprint(number))}},
		})
	}
	for _, result := range client.ProduceSync(ctx, batch...) {
		if result.Err != nil {
			return result.Err
		}
	}
	for number, record := range batch {
		if record.Offset != int64(number/3) {
			return fmt.Errorf("record %d was acknowledged at offset %d", number, record.Offset)
		}
	}
	return nil
}

func consume(ctx context.Context, seed, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	next := [3]int64{}
	for seen := 0; seen < records; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			number := int(record.Offset)*3 + int(record.Partition)
			if record.Offset != next[record.Partition] {
				return fmt.Errorf("partition %d: offset %d after %d", record.Partition, record.Offset, next[record.Partition]-1)
			}
			if string(record.Value) != string(value(number)) || string(record.Key) != fmt.Sprint(number) {
				return fmt.Errorf("partition %d, offset %d: %q", record.Partition, record.Offset, record.Value)
			}
			if len(record.Headers) != 1 || string(record.Headers[0].Value) != fmt.Sprint(number) {
				return fmt.Errorf("headers of %d: %v", number, record.Headers)
			}
			next[record.Partition]++
			seen++
		}
	}
	return nil
}

func fromTheMiddle(ctx context.Context, seed, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {1: kgo.NewOffset().At(777)},
	}))
	if err != nil {
		return err
	}
	defer client.Close()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return err
	}
	if first := fetches.Records()[0]; first.Offset != 777 || first.Partition != 1 {
		return fmt.Errorf("began at offset %d of partition %d", first.Offset, first.Partition)
	}
	return nil
}

func offsets(ctx context.Context, admin *kadm.Client, topic string) error {
	for partition, expected := range map[int32]int64{0: 1667, 1: 1667, 2: 1666} {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		if end, _ := ends.Lookup(topic, partition); end.Offset != expected || end.Err != nil {
			return fmt.Errorf("partition %d ends at %d: %v", partition, end.Offset, end.Err)
		}
	}
	first, err := admin.ListOffsetsAfterMilli(ctx, 0, topic)
	if err != nil {
		return err
	}
	if found, _ := first.Lookup(topic, 0); found.Offset != 0 || found.Err != nil {
		return fmt.Errorf("the first offset after 1970 is %d: %v", found.Offset, found.Err)
	}
	return nil
}

func produceWithAcks(ctx context.Context, seed, topic string, acks kgo.Acks) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, kgo.StringRecord("x"), kgo.StringRecord("y")).FirstErr()
}
