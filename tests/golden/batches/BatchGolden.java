// Writes the golden batches of this directory with Kafka's own client library, and reads batches of ours
// with it. Not run by `cargo test`; the files are committed.
//
//   java -cp "$KAFKA/libs/*" BatchGolden.java write .
//   java -cp "$KAFKA/libs/*" BatchGolden.java read FILE...

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;

public class BatchGolden {
    static final long TIME = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            Path dir = Path.of(args[1]);
            for (CompressionType type : CompressionType.values())
                Files.write(dir.resolve("java-" + type.name + ".bin"), batch(Compression.of(type).build()));
            Files.write(dir.resolve("java-commit-marker.bin"), marker());
            return;
        }
        for (String file : Arrays.asList(args).subList(1, args.length))
            read(Path.of(file));
    }

    static byte[] batch(Compression compression) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
        MemoryRecordsBuilder builder = MemoryRecords.builder(buffer, (byte) 2, compression,
            TimestampType.CREATE_TIME, 1000L, TIME, 77L, (short) 3, 5, true, 9);
        Header[] headers = {
            new RecordHeader("trace", "1".getBytes(StandardCharsets.UTF_8)),
            new RecordHeader("null", (byte[]) null)
        };
        builder.append(TIME, "key".getBytes(StandardCharsets.UTF_8), "value".getBytes(StandardCharsets.UTF_8), headers);
        builder.append(TIME - 5, null, new byte[0]);
        builder.append(TIME + 300, new byte[0], null);
        byte[] large = new byte[70_000];
        for (int i = 0; i < large.length; i++)
            large[i] = (byte) (i / 100);
        builder.append(TIME + 1, "large".getBytes(StandardCharsets.UTF_8), large);
        return bytes(builder.build());
    }

    static byte[] marker() {
        return bytes(MemoryRecords.withEndTransactionMarker(1000L, TIME, 9, 77L, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 12)));
    }

    static byte[] bytes(MemoryRecords records) {
        byte[] bytes = new byte[records.sizeInBytes()];
        records.buffer().get(bytes);
        return bytes;
    }

    static void read(Path file) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            System.out.println(file + " " + batch);
            for (Record record : batch)
                System.out.println("  " + record + " value hash "
                    + (record.hasValue() ? record.value().hashCode() : "null") + " headers "
                    + Arrays.toString(record.headers()));
        }
    }
}
