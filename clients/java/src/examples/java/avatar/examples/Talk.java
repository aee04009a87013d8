// SPDX-License-Identifier: Apache-2.0

package avatar.examples;

import avatar.client.AvatarClient;
import avatar.client.AvatarException;
import avatar.client.CallerCredentials;
import avatar.client.Conversation;
import avatar.client.ConversationListener;
import avatar.v1.AudioChunk;
import avatar.v1.AudioFormat;
import avatar.v1.ConverseConfig;
import avatar.v1.Frame;
import avatar.v1.Notice;
import avatar.v1.SessionStarted;
import avatar.v1.Transcript;
import avatar.v1.TurnCompleted;
import avatar.v1.TurnOutcome;
import com.google.protobuf.ByteString;
import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.sound.sampled.AudioFileFormat;
import javax.sound.sampled.AudioInputStream;
import javax.sound.sampled.AudioSystem;
import javax.sound.sampled.UnsupportedAudioFileException;

/** Asks one question, spoken or typed, and writes the answer: its voice as a WAV file, its pictures as JPEG files. */
public final class Talk {
  private static final String USAGE =
      """
      usage: Talk --server HOST:PORT (--wav FILE | --text TEXT) --out DIR
                  [--ca FILE [--cert FILE --key FILE]] [--token JWT | --api-key KEY]
      --wav is mono, of 16 bits a sample. --ca turns TLS on: the authorities, in PEM, that the server's certificate may
      come from; --cert and --key are this client's own.""";
  private static final Set<String> OPTIONS =
      Set.of("--server", "--wav", "--text", "--out", "--ca", "--cert", "--key", "--token", "--api-key");
  private static final int PIECE_MS = 40;
  private static final Duration WITHIN = Duration.ofMinutes(2);

  private Talk() {}

  /** Runs the command: exit code 0 if the question was answered, 1 if not, 2 if the arguments cannot be used. */
  public static void main(String[] args) throws Exception {
    Map<String, String> options = options(args);
    if (!isUsable(options)) {
      System.err.println(USAGE);
      System.exit(2);
    }
    Answer answer = new Answer(Path.of(options.get("--out")));
    try (AvatarClient client = AvatarClient.connect(options.get("--server"), channel(options), caller(options))) {
      if (options.containsKey("--wav")) {
        askByVoice(client, Path.of(options.get("--wav")), answer);
      } else {
        askByText(client, options.get("--text"), answer);
      }
    } catch (AvatarException | IOException | TimeoutException | UnsupportedAudioFileException error) {
      System.err.println(error.getMessage());
      System.exit(1);
    }
    answer.write();
    System.exit(answer.completed ? 0 : 1);
  }

  private static Map<String, String> options(String[] args) {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i < args.length; i += 2) {
      options.put(args[i], i + 1 < args.length ? args[i + 1] : "");
    }
    return options;
  }

  private static boolean isUsable(Map<String, String> options) {
    return OPTIONS.containsAll(options.keySet())
        && options.keySet().containsAll(Set.of("--server", "--out"))
        && options.containsKey("--wav") != options.containsKey("--text")
        && options.containsKey("--cert") == options.containsKey("--key");
  }

  private static ChannelCredentials channel(Map<String, String> options) throws IOException {
    if (!options.containsKey("--ca")) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder().trustManager(new File(options.get("--ca")));
    if (options.containsKey("--cert")) {
      tls.keyManager(new File(options.get("--cert")), new File(options.get("--key")));
    }
    return tls.build();
  }

  private static CallerCredentials caller(Map<String, String> options) {
    if (options.containsKey("--token")) {
      return CallerCredentials.token(() -> options.get("--token"));
    }
    return options.containsKey("--api-key") ? CallerCredentials.apiKey(options.get("--api-key")) : null;
  }

  private static void askByText(AvatarClient client, String text, Answer answer) throws Exception {
    try (Conversation conversation = client.converse(ConverseConfig.getDefaultInstance(), answer)) {
      conversation.sendText(text);
      conversation.finish();
      conversation.await(WITHIN);
    }
  }

  private static void askByVoice(AvatarClient client, Path wav, Answer answer) throws Exception {
    try (AudioInputStream audio = AudioSystem.getAudioInputStream(wav.toFile())) {
      if (audio.getFormat().getChannels() != 1 || audio.getFormat().getSampleSizeInBits() != 16) {
        throw new UnsupportedAudioFileException(wav + " must be mono, of 16 bits a sample");
      }
      int rate = (int) audio.getFormat().getSampleRate();
      ConverseConfig config =
          ConverseConfig.newBuilder().setInputAudio(AudioFormat.newBuilder().setSampleRateHertz(rate)).build();
      try (Conversation conversation = client.converse(config, answer)) {
        long began = System.nanoTime();
        byte[] piece = new byte[2 * rate * PIECE_MS / 1000];
        for (int sent = 1, size; (size = audio.readNBytes(piece, 0, piece.length)) > 0; sent++) {
          conversation.sendAudio(ByteString.copyFrom(piece, 0, size));
          TimeUnit.NANOSECONDS.sleep(began + TimeUnit.MILLISECONDS.toNanos((long) sent * PIECE_MS) - System.nanoTime());
        }
        conversation.finish();
        conversation.await(WITHIN);
      }
    }
  }

  /** Keeps the voice, writes the pictures as they come, and prints what was said. */
  private static final class Answer implements ConversationListener {
    private final Path folder;
    private final ByteArrayOutputStream voice = new ByteArrayOutputStream();
    private float rateHertz;
    private int frames;
    private boolean completed;

    Answer(Path folder) {
      this.folder = folder;
    }

    @Override
    public void onSessionStarted(SessionStarted started) {
      rateHertz = started.getConfig().getOutputAudio().getSampleRateHertz();
      System.out.println("session: " + started.getSessionId());
    }

    @Override
    public void onTranscript(Transcript transcript) {
      if (transcript.getFinal()) {
        System.out.println("you: " + transcript.getText());
      }
    }

    @Override
    public void onAudio(AudioChunk audio) {
      voice.writeBytes(audio.getData().toByteArray());
    }

    @Override
    public void onFrame(Frame frame) {
      try {
        Path pictures = Files.createDirectories(folder.resolve("frames"));
        String name = String.format("turn-%d-%05d.jpg", frame.getTurnId(), frame.getIndex());
        Files.write(pictures.resolve(name), frame.getData().toByteArray());
        frames++;
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    @Override
    public void onNotice(Notice notice) {
      System.out.println("notice: " + notice.getMessage());
    }

    @Override
    public void onTurnCompleted(TurnCompleted turn) {
      completed = turn.getOutcome() == TurnOutcome.TURN_OUTCOME_COMPLETED;
      System.out.println("avatar: " + turn.getGeneratedText());
      System.out.printf(
          "first audio after %.0f ms, first frame after %.0f ms%n",
          (double) turn.getMetrics().getTimeToFirstAudioMs(), (double) turn.getMetrics().getTimeToFirstFrameMs());
    }

    void write() throws IOException {
      byte[] samples = voice.toByteArray();
      javax.sound.sampled.AudioFormat format = new javax.sound.sampled.AudioFormat(rateHertz, 16, 1, true, false);
      Files.createDirectories(folder);
      Path wav = folder.resolve("voice.wav");
      AudioInputStream audio = new AudioInputStream(new ByteArrayInputStream(samples), format, samples.length / 2);
      AudioSystem.write(audio, AudioFileFormat.Type.WAVE, wav.toFile());
      System.out.printf(
          "%.2f s of voice in %s, %d frames in %s%n",
          samples.length / 2 / rateHertz, wav, frames, folder.resolve("frames"));
    }
  }
}
