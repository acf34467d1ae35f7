import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Scanner;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's tools one after the other in one virtual machine: a start for each takes ten times as long.
 *
 * Reads one command a line from standard input, its fields apart by U+001F: the file for what the tool prints on both
 * streams, its class, its arguments. Answers each with a line on standard output. A status other than 0 is the last line
 * of the file, as a shell would say it.
 */
public final class Tools {
    /** Where both streams lead now. Libraries keep the stream they found first, so that one stays. */
    private static final class Switch extends OutputStream {
        private OutputStream target = OutputStream.nullOutputStream();

        @Override public synchronized void write(int octet) throws IOException { target.write(octet); }
        @Override public synchronized void write(byte[] octets, int from, int count) throws IOException {
            target.write(octets, from, count);
        }
        @Override public synchronized void flush() throws IOException { target.flush(); }
        synchronized void to(OutputStream next) throws IOException {
            target.close();
            target = next;
        }
    }

    private static final class Exited extends RuntimeException {
        final int status;

        Exited(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    public static void main(String[] none) throws Exception {
        PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
        Switch output = new Switch();
        PrintStream both = new PrintStream(output, true, StandardCharsets.UTF_8);
        System.setOut(both);
        System.setErr(both);
        Exit.setExitProcedure((status, message) -> { throw new Exited(status); });
        Exit.setHaltProcedure((status, message) -> { throw new Exited(status); });
        Scanner commands = new Scanner(System.in, StandardCharsets.UTF_8).useDelimiter("\n");
        while (commands.hasNext()) {
            String[] fields = commands.next().split("\u001f", -1);
            output.to(new FileOutputStream(fields[0]));
            int status = run(fields[1], Arrays.copyOfRange(fields, 2, fields.length));
            if (status != 0) both.println("exit status " + status);
            both.flush();
            output.to(OutputStream.nullOutputStream());
            answers.println(status);
        }
    }

    private static int run(String tool, String[] arguments) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (InvocationTargetException wrapped) {
            Throwable cause = wrapped.getCause();
            if (cause instanceof Exited exited) return exited.status;
            System.err.println("Exception in thread \"main\" " + cause);
            return 1;
        }
    }
}
