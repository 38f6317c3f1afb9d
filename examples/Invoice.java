import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Asks for the invoice of a transaction, and prints its number. It needs Java 11 or later, and nothing else:
 *
 * <pre>INVOICER_URL=http://127.0.0.1:8080 INVOICER_TOKEN=… java Invoice.java [TRANSACTION_ID]</pre>
 *
 * It asks again through broken connections and restarts, with the same Idempotency-Key. Running it again is safe, too: there
 * is one invoice.
 */
public class Invoice {
    private static final Set<Integer> AGAIN = Set.of(409, 429, 502, 503, 504);

    private final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private final String url = Optional.ofNullable(System.getenv("INVOICER_URL")).orElse("http://127.0.0.1:8080");
    private final String token = Optional.ofNullable(System.getenv("INVOICER_TOKEN")).orElse("");

    /**
     * Returns the answer once the job has ended. Keep the key beside your own record of the transaction, if another process
     * may have to ask again and is to be told of the same job.
     */
    String ask(String job, String key, Duration within) throws InterruptedException {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url + "/v1/jobs"))
            .timeout(Duration.ofSeconds(45))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", '"' + key + '"')
            .header("Prefer", "wait=30")
            .POST(HttpRequest.BodyPublishers.ofString(job));
        if (!token.isEmpty()) {
            builder.header("Authorization", "Bearer " + token);
        }
        HttpRequest request = builder.build();
        Instant end = Instant.now().plus(within);
        for (long pause = 100; ; pause = Math.min(2 * pause, 5_000)) {
            long least = 0;
            String why;
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                why = answer.body();
                if (answer.statusCode() / 100 == 2) {
                    if (member(why, "state") != null) { // done, or failed, which a person has to look at
                        return why;
                    }
                } else if (!AGAIN.contains(answer.statusCode())) { // it names each bad field by a JSON Pointer
                    throw new IllegalArgumentException("refused with " + answer.statusCode() + ": " + why);
                }
                least = 1000 * answer.headers().firstValueAsLong("Retry-After").orElse(0);
            } catch (IOException e) { // whether the job was accepted isn't known
                why = e.toString();
            }
            if (Instant.now().plusMillis(least).isAfter(end)) {
                throw new IllegalStateException("no invoice yet; asking again is safe: " + why);
            }
            Thread.sleep(Math.max(least, ThreadLocalRandom.current().nextLong(pause / 2, pause)));
        }
    }

    /** Returns a text in an answer. Java has no JSON of its own; use the library that you have. */
    static String member(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\"([^\"]*)\"").matcher(json);
        return found.find() ? found.group(1) : null;
    }

    public static void main(String[] args) throws InterruptedException {
        String job = "{\"transaction_id\":\"" + (args.length > 0 ? args[0] : "536365") + "\","
            + "\"issued_at\":\"2010-12-01T08:26:00Z\"," // the transaction's time, not the time of asking
            + "\"currency\":\"GBP\","
            + "\"lines\":[{\"sku\":\"85123A\",\"quantity\":6,\"unit_price\":\"2.55\"}]}";
        String told = new Invoice().ask(job, UUID.randomUUID().toString(), Duration.ofMinutes(1));
        String outcome = member(told, "outcome");
        if (!Set.of("created", "duplicate").contains(outcome)) {
            System.err.println(outcome + ": " + member(told, "reason"));
            System.exit(1);
        }
        System.out.println(member(told, "invoice_number"));
    }
}
