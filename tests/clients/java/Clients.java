// The JDK's own HttpClient, which Spring AI and LangChain4j stand on: it offers an upgrade to HTTP/2 with each request.
// `java Clients.java URL KEY` prints a line of JSON per case, [case, what came of it].
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;

public class Clients {
  static final HttpClient client = HttpClient.newHttpClient();
  static String url;
  static String key;

  interface Case {
    void run() throws Exception;
  }

  static HttpRequest.Builder to(String path) {
    return HttpRequest.newBuilder(URI.create(url + path)).header("Authorization", "Bearer " + key);
  }

  static HttpRequest chat(String model, String more, Duration timeout) {
    String body = "{\"model\": \"" + model + "\", " + more + "\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}";
    return to("/v1/chat/completions").timeout(timeout).POST(BodyPublishers.ofString(body)).build();
  }

  static void check(boolean holds, Object told) {
    if (!holds) throw new AssertionError(String.valueOf(told));
  }

  static void answers(String model) throws Exception {
    HttpResponse<String> answer = client.send(chat(model, "", Duration.ofSeconds(30)), BodyHandlers.ofString());
    check(answer.statusCode() == 200 && answer.body().contains("\"content\":"), answer.body());
  }

  static void streams() throws Exception {
    HttpRequest asked = chat("chat", "\"stream\": true, ", Duration.ofSeconds(30));
    HttpResponse<java.util.stream.Stream<String>> answer = client.send(asked, BodyHandlers.ofLines());
    List<String> lines = answer.body().filter(line -> !line.isEmpty()).collect(Collectors.toList());
    check(lines.size() > 4 && lines.get(lines.size() - 1).equals("data: [DONE]"), lines);
  }

  static void transcribes() throws Exception {
    String head = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nchat\r\n"
        + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    HttpRequest asked = to("/v1/audio/transcriptions")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .POST(BodyPublishers.concat(
            BodyPublishers.ofString(head),
            BodyPublishers.ofByteArray(new byte[48_000]),
            BodyPublishers.ofString("\r\n--b--\r\n")))
        .build();
    HttpResponse<String> answer = client.send(asked, BodyHandlers.ofString());
    check(answer.statusCode() == 200 && answer.body().contains("\"text\":"), answer.body());
  }

  static void timesOut() throws Exception {
    try {
      client.send(chat("hangs", "", Duration.ofSeconds(1)), BodyHandlers.ofString());
    } catch (HttpTimeoutException error) {
      return;
    }
    throw new AssertionError("it did not time out");
  }

  static void unknownModel() throws Exception {
    HttpResponse<String> answer = client.send(chat("nope", "", Duration.ofSeconds(30)), BodyHandlers.ofString());
    check(answer.statusCode() == 404 && answer.body().contains("'nope' does not exist"), answer.body());
  }

  static void tell(String name, Case asked) {
    String came = "ok";
    try {
      asked.run();
    } catch (Throwable error) {
      came = String.valueOf(error).replaceAll("[^A-Za-z0-9 .:,_'-]", " ");
    }
    System.out.println("[\"" + name + "\", \"" + came + "\"]");
  }

  public static void main(String[] args) {
    url = args[0];
    key = args[1];
    tell("chat", () -> answers("chat"));
    tell("fallback", () -> answers("flaky"));
    tell("stream", Clients::streams);
    tell("transcription", Clients::transcribes);
    tell("unknown_model", Clients::unknownModel);
    tell("timeout", Clients::timesOut);
    System.exit(0);
  }
}
