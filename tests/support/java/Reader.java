import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads every partition of a topic from the beginning and prints each record as a line of JSON, bytes in hex.
 * The options are those of ReadSpec in ../src/interop.rs, as --name=value.
 */
public class Reader {
    private static final long STANDSTILL_MS = 30_000;

    public static void main(String[] args) {
        Properties config = new Properties();
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        String topic = null;
        long max = Long.MAX_VALUE;
        for (String arg : args) {
            String[] parts = arg.split("=", 2);
            String value = parts[1];
            switch (parts[0]) {
                case "--bootstrap" -> config.put("bootstrap.servers", value);
                case "--topic" -> topic = value;
                case "--isolation" -> config.put("isolation.level", value);
                case "--max" -> max = Long.parseLong(value);
                case "--property" -> {
                    String[] property = value.split("=", 2);
                    config.put(property[0], property[1]);
                }
                default -> throw new IllegalArgumentException(arg);
            }
        }

        StringBuilder lines = new StringBuilder();
        long read = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
            String name = topic;
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(name, info.partition())).collect(Collectors.toList());
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            // In read_committed this is the last stable offset.
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            long deadline = System.currentTimeMillis() + STANDSTILL_MS;
            while (read < max && !(max == Long.MAX_VALUE && atEnd(consumer, ends))) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                if (!records.isEmpty()) {
                    deadline = System.currentTimeMillis() + STANDSTILL_MS;
                } else if (System.currentTimeMillis() > deadline) {
                    throw new IllegalStateException("nothing came for 30 s, after " + read + " records of " + topic);
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    if (read++ < max) {
                        print(record, lines);
                    }
                }
            }
        }
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        out.print(lines);
        out.flush();
    }

    private static boolean atEnd(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends) {
        return ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
    }

    private static void print(ConsumerRecord<byte[], byte[]> record, StringBuilder out) {
        out.append("{\"partition\":").append(record.partition());
        out.append(",\"offset\":").append(record.offset());
        out.append(",\"timestamp\":").append(record.timestamp());
        out.append(",\"key\":").append(hex(record.key()));
        out.append(",\"value\":").append(hex(record.value()));
        out.append(",\"headers\":[");
        String comma = "";
        for (Header header : record.headers()) {
            out.append(comma).append('[').append(hex(header.key().getBytes(StandardCharsets.UTF_8))).append(',');
            out.append(hex(header.value())).append(']');
            comma = ",";
        }
        out.append("],\"committed\":true}\n");
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : '"' + HexFormat.of().formatHex(bytes) + '"';
    }
}
