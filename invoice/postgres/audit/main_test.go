package audit_test

import (
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }
