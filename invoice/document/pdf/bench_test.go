//go:build unix

package pdf

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"invoicer/invoice/document/sample"
)

// spent returns how long this process has used a core: what others do on the machine doesn't count.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// 80 pages a second and core are 12.5 ms of a core for each; the heap that is in use stays the same.
func BenchmarkRender(b *testing.B) {
	for name, lines := range map[string]int{"one page": 5, "1000 lines": 1000} {
		b.Run(name, func(b *testing.B) {
			d, err := sample.Long(lines)
			if err != nil {
				b.Fatal(err)
			}
			pages := 0
			b.ReportAllocs()
			from := spent(b)
			for b.Loop() {
				r, err := Render(d, Options{})
				if err != nil {
					b.Fatal(err)
				}
				pages += r.Pages
			}
			b.ReportMetric((spent(b)-from).Seconds()*1000/float64(pages), "cpu-ms/page")
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			b.ReportMetric(float64(memory.HeapInuse)/(1<<20), "heap-MiB")
		})
	}
}
