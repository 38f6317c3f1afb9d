package programs

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"invoicer/internal/sandbox/terminaltest"
)

func TestInstallAsksAtATerminal(t *testing.T) {
	t.Parallel()
	for answer, installs := range map[string]bool{"y": true, "": false, "n": false} {
		t.Run("answer "+answer, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			f.addApt(t)
			f.add(t, "id", asRoot)
			c := f.command(t)
			person := terminaltest.Start(t, c)
			shown := bufio.NewReader(person)
			question, err := shown.ReadString(']')
			if err != nil || !strings.Contains(question, "Install redis-server with apt-get?") {
				t.Fatalf("%q, %v", question, err)
			}
			if strings.Contains(f.did(t), "apt-get") {
				t.Error("it didn't wait for the answer")
			}
			if _, err := person.WriteString(answer + "\n"); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(shown) // ends with an error when the script has
			if err := c.Wait(); (err == nil) != installs {
				t.Errorf("%v: %s", err, rest)
			}
			if did := f.did(t); strings.Contains(did, "apt-get") != installs {
				t.Errorf("it did %s", did)
			}
			if told := strings.Contains(string(rest), "apt-get install"); told == installs {
				t.Errorf("shown: %s", rest)
			}
		})
	}
}
