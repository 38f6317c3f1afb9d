package queue

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// What we let pass, asynq reads, and reads alike: its own type is in the registry of all of them.
func FuzzReadTask(f *testing.F) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName("asynq.TaskMessage")
	if err != nil {
		f.Fatal(err)
	}
	field := func(number protowire.Number, text string) string {
		return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), text))
	}
	whole := encode("id", "queue", "payload") + field(fieldKind, "type") + field(fieldLastError, "error") +
		"\x28\x05\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + field(fieldHeaders, field(1, "key")+field(2, "value"))
	for _, s := range []string{
		"", whole, whole[:len(whole)-1], "\xff\xfe", field(fieldKind, "\xff"), field(fieldPayload, "\xff"), field(fieldUniqueKey, "\xff"),
		field(fieldGroup, "\xff"), field(fieldHeaders, "\xff"), field(fieldHeaders, field(1, "\xff")), field(99, "\xff"), "\x18\x01", "\x0c", "\x0b\x0c", "\x0b\x14",
		"\x00", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x2d\x00\x00\x00\x00", field(fieldHeaders, "\x0b\x0c"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		got, err := ReadTask(string(encoded))
		theirs := kind.New()
		if theirErr := proto.Unmarshal(encoded, theirs.Interface()); (err == nil) != (theirErr == nil) {
			t.Fatalf("error %v; asynq's %v", err, theirErr)
		}
		if err != nil {
			return
		}
		value := func(name protoreflect.Name) protoreflect.Value {
			return theirs.Get(theirs.Descriptor().Fields().ByName(name))
		}
		if got.ID != value("id").String() || got.Queue != value("queue").String() || got.Type != value("type").String() || got.LastErr != value("error_msg").String() ||
			!bytes.Equal(got.Payload, value("payload").Bytes()) || got.MaxRetry != int(value("retry").Int()) || got.Retried != int(value("retried").Int()) {
			t.Errorf("read as %+v, by asynq as %v", got, theirs.Interface())
		}
		headers := value("headers").Map()
		if headers.Len() != len(got.Headers) {
			t.Errorf("headers %q, asynq's %v", got.Headers, theirs.Interface())
		}
		headers.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if got.Headers[k.String()] != v.String() {
				t.Errorf("header %q is %q, asynq's %q", k, got.Headers[k.String()], v)
			}
			return true
		})
	})
}
