// Writes the batches in this directory with Apache Kafka's own classes, and checks batches written by others.
//
//   java -cp 'libs/*' GoldenBatches.java write DIR      writes java-*.bin
//   java -cp 'libs/*' GoldenBatches.java read FILE...   reads every record of every batch and prints what it found
//
// `libs` holds kafka-clients 4.1.1 and what it needs (lz4-java, snappy-java, zstd-jni, slf4j-api).

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.CloseableIterator;

public class GoldenBatches {
    static final int RECORDS = 40;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            write(Path.of(args[1]));
        } else {
            for (int i = 1; i < args.length; i++) read(Path.of(args[i]));
        }
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Record i: key "player-i" or null, value text or null, time 1700000000000 + i * 10 or a second earlier. */
    static ByteBuffer batch(Compression codec, TimestampType type, int producerEpoch) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(buffer, RecordBatch.MAGIC_VALUE_V2, codec, type,
            1000L, 1_800_000_000_000L, 7L, (short) producerEpoch, 11, false, false, 5, buffer.capacity());
        for (int i = 0; i < RECORDS; i++) {
            byte[] key = i % 5 == 4 ? null : utf8("player-" + i);
            byte[] value = i % 7 == 6 ? null : utf8(("a potion of healing, the " + i + "th of its kind; ").repeat(i % 4));
            Header[] headers = i % 3 != 2 ? new Header[0] : new Header[] {
                new RecordHeader("type", utf8("crafted")),
                new RecordHeader("type", utf8("again")),
                new RecordHeader("null", (byte[]) null),
            };
            long time = 1_700_000_000_000L + (i % 4 == 3 ? -1000 : i * 10);
            builder.append(time, key, value, headers);
        }
        return builder.build().buffer();
    }

    static void write(Path dir) throws Exception {
        save(dir, "none", batch(Compression.NONE, TimestampType.CREATE_TIME, 3));
        save(dir, "gzip", batch(Compression.gzip().build(), TimestampType.CREATE_TIME, 3));
        save(dir, "snappy", batch(Compression.snappy().build(), TimestampType.CREATE_TIME, 3));
        save(dir, "lz4", batch(Compression.lz4().build(), TimestampType.CREATE_TIME, 3));
        save(dir, "zstd", batch(Compression.zstd().build(), TimestampType.CREATE_TIME, 3));
        save(dir, "zstd-22", batch(Compression.zstd().level(22).build(), TimestampType.CREATE_TIME, 3));
        save(dir, "log-append-time", batch(Compression.NONE, TimestampType.LOG_APPEND_TIME, 3));
        save(dir, "commit", MemoryRecords.withEndTransactionMarker(2000L, 1_700_000_000_000L, 5, 7L, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 1)).buffer());
        save(dir, "abort", MemoryRecords.withEndTransactionMarker(2000L, 1_700_000_000_000L, 5, 7L, (short) 3,
            new EndTransactionMarker(ControlRecordType.ABORT, 1)).buffer());
        ByteBuffer empty = ByteBuffer.allocate(61);
        DefaultRecordBatch.writeEmptyHeader(empty, RecordBatch.MAGIC_VALUE_V2, 7L, (short) 3, 11, 1000L, 1039L, 5,
            TimestampType.CREATE_TIME, 1_700_000_000_000L, false, false);
        empty.flip();
        save(dir, "emptied", empty);
        ByteBuffer old = ByteBuffer.allocate(1 << 16);
        MemoryRecordsBuilder builder = MemoryRecords.builder(old, RecordBatch.MAGIC_VALUE_V1, Compression.NONE,
            TimestampType.CREATE_TIME, 1000L);
        builder.append(1_700_000_000_000L, utf8("key"), utf8("value"));
        save(dir, "format-1", builder.build().buffer());
    }

    static void save(Path dir, String name, ByteBuffer buffer) throws Exception {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        Files.write(dir.resolve("java-" + name + ".bin"), bytes);
    }

    static void read(Path file) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            int count = 0;
            long bytes = 0, times = 0;
            int headers = 0;
            try (CloseableIterator<Record> each = batch.streamingIterator(BufferSupplier.NO_CACHING)) {
                while (each.hasNext()) {
                    Record record = each.next();
                    if (record.offset() != batch.baseOffset() + count) throw new IllegalStateException("offset");
                    bytes += Math.max(record.keySize(), 0) + Math.max(record.valueSize(), 0);
                    times += record.timestamp();
                    headers += record.headers().length;
                    count++;
                }
            }
            System.out.println(file.getFileName() + ": " + batch.compressionType() + ", " + batch.sizeInBytes()
                + " bytes, producer " + batch.producerId() + "/" + batch.producerEpoch() + "/" + batch.baseSequence()
                + ", offsets " + batch.baseOffset() + ".." + batch.lastOffset() + ", largest time "
                + batch.maxTimestamp() + "; " + count + " records, " + bytes + " bytes in keys and values, "
                + headers + " headers, sum of times " + times);
        }
    }
}
