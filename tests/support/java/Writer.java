import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes records whose content follows from their index, and prints each as a line of JSON, bytes in hex.
 * The options are those of WriteSpec in ../src/interop.rs, as --name=value.
 */
public class Writer {
    private static final int WHOLE = 16 << 20;

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("key.serializer", ByteArraySerializer.class.getName());
        config.put("value.serializer", ByteArraySerializer.class.getName());
        String topic = null;
        String transactions = "";
        int count = 0;
        int first = 0;
        int valueBytes = 0;
        int distinctKeys = 0;
        Integer partition = null;
        Long timestampBase = null;
        boolean each = false;
        boolean nulls = false;
        boolean headers = false;
        for (String arg : args) {
            String[] parts = arg.split("=", 2);
            String value = parts[1];
            switch (parts[0]) {
                case "--bootstrap" -> config.put("bootstrap.servers", value);
                case "--topic" -> topic = value;
                case "--compression" -> config.put("compression.type", value);
                case "--count" -> count = Integer.parseInt(value);
                case "--first" -> first = Integer.parseInt(value);
                case "--batching" -> each = value.equals("each");
                case "--partition" -> partition = Integer.valueOf(value);
                case "--value-bytes" -> valueBytes = Integer.parseInt(value);
                case "--distinct-keys" -> distinctKeys = Integer.parseInt(value);
                case "--nulls" -> nulls = Boolean.parseBoolean(value);
                case "--headers" -> headers = Boolean.parseBoolean(value);
                case "--timestamp-base" -> timestampBase = Long.valueOf(value);
                case "--transactions" -> transactions = value;
                case "--property" -> {
                    String[] property = value.split("=", 2);
                    config.put(property[0], property[1]);
                }
                default -> throw new IllegalArgumentException(arg);
            }
        }
        if (!each) {
            // Nothing leaves before flush() or the end of the transaction.
            config.putIfAbsent("linger.ms", "60000");
            config.putIfAbsent("batch.size", String.valueOf(WHOLE));
            config.putIfAbsent("max.request.size", String.valueOf(WHOLE));
            config.putIfAbsent("buffer.memory", String.valueOf(4L * WHOLE));
            config.putIfAbsent("delivery.timeout.ms", "180000");
        }
        if (!transactions.isEmpty()) {
            config.putIfAbsent("transactional.id", topic + "-writer-" + first);
        }

        List<Written> written = new ArrayList<>();
        boolean leftOpen = false;
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config);
        if (transactions.isEmpty()) {
            for (int index = first; index < first + count; index++) {
                ProducerRecord<byte[], byte[]> record =
                    record(topic, partition, index, valueBytes, distinctKeys, nulls, headers, timestampBase);
                written.add(new Written(record, producer.send(record), true));
                if (each) {
                    producer.flush();
                }
            }
            producer.flush();
        } else {
            producer.initTransactions();
            int done = 0;
            for (int turn = 0; turn < transactions.length(); turn++) {
                char how = transactions.charAt(turn);
                int until = (int) ((long) count * (turn + 1) / transactions.length());
                producer.beginTransaction();
                for (; done < until; done++) {
                    ProducerRecord<byte[], byte[]> record =
                        record(topic, partition, first + done, valueBytes, distinctKeys, nulls, headers, timestampBase);
                    written.add(new Written(record, producer.send(record), how == 'c'));
                    if (each) {
                        producer.flush();
                    }
                }
                // An abort drops what was not sent yet.
                producer.flush();
                switch (how) {
                    case 'c' -> producer.commitTransaction();
                    case 'a' -> producer.abortTransaction();
                    case 'o' -> leftOpen = true;
                    default -> throw new IllegalArgumentException("transactions: " + transactions);
                }
            }
        }

        StringBuilder lines = new StringBuilder();
        for (Written one : written) {
            one.print(lines);
        }
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        out.print(lines);
        out.flush();
        if (leftOpen) {
            Runtime.getRuntime().halt(0); // close() would abort it
        }
        producer.close();
    }

    private static ProducerRecord<byte[], byte[]> record(
            String topic, Integer partition, int index, int valueBytes, int distinctKeys, boolean nulls,
            boolean headers, Long timestampBase) {
        int keyIndex = distinctKeys == 0 ? index : index % distinctKeys;
        byte[] key = nulls && index % 3 == 2 ? null : bytes("key-" + keyIndex);
        byte[] value = null;
        if (!nulls || index % 5 != 4) {
            StringBuilder text = new StringBuilder("value-" + index);
            while (text.length() < valueBytes) {
                text.append((char) ('a' + (index + text.length()) % 26));
            }
            value = bytes(text.toString());
        }
        Long timestamp = timestampBase == null ? null : Long.valueOf(timestampBase + index);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, timestamp, key, value);
        if (headers) {
            record.headers().add("dup", bytes("a-" + index));
            record.headers().add("none", null);
            record.headers().add("dup", bytes("b-" + index));
            record.headers().add("empty", new byte[0]);
        }
        return record;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private record Written(
            ProducerRecord<byte[], byte[]> record, Future<RecordMetadata> answer, boolean committed) {
        void print(StringBuilder out) throws Exception {
            RecordMetadata at = answer.get();
            out.append("{\"partition\":").append(at.partition());
            out.append(",\"offset\":").append(at.hasOffset() ? at.offset() : -1);
            out.append(",\"timestamp\":").append(at.timestamp());
            out.append(",\"key\":").append(hex(record.key()));
            out.append(",\"value\":").append(hex(record.value()));
            out.append(",\"headers\":[");
            String comma = "";
            for (Header header : record.headers()) {
                out.append(comma).append('[').append(hex(bytes(header.key()))).append(',');
                out.append(hex(header.value())).append(']');
                comma = ",";
            }
            out.append("],\"committed\":").append(committed).append("}\n");
        }

        private static String hex(byte[] bytes) {
            return bytes == null ? "null" : '"' + HexFormat.of().formatHex(bytes) + '"';
        }
    }
}
