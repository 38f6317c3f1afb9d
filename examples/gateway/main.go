// Gateway plays the other side of a hand-over: a Peppol provider or an authority's gateway that clears invoices, refuses some, and fails now and then. It
// is an example of both contracts of docs/handover.md, and what invoicer is tested with.
//
//	gateway -listen 127.0.0.1:8899 -secret whsec_… -clear-after 5s     # a channel of kind https
//	gateway -state /var/lib/gateway                                    # a channel of kind program
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A parcel is what is handed over, as far as it matters here.
type parcel struct {
	Action    string     `json:"action"`
	Key       string     `json:"key"`
	Number    string     `json:"number"`
	Kind      string     `json:"kind"`
	Clearance string     `json:"clearance"`
	ID        string     `json:"id"`
	Documents []document `json:"documents"`
}

type document struct {
	Format  string `json:"format"`
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Content []byte `json:"content"`
}

type answer struct {
	State string `json:"state"`
	ID    string `json:"id,omitempty"`
	Text  string `json:"text,omitempty"`
}

// kept is a parcel that was taken. A repeat is told from it by its key.
type kept struct {
	Key      string    `json:"key"`
	Number   string    `json:"number"`
	Kind     string    `json:"kind"`
	Quotes   string    `json:"quotes"` // the clearance that a credit note quotes
	Refused  string    `json:"refused"`
	At       time.Time `json:"at"`
	Repeated int       `json:"repeated"`
}

// A gateway keeps each parcel in a file of its folder.
type gateway struct {
	state          string
	clearAfter     time.Duration // 0: at once
	needClearance  bool          // of credit notes
	refuseWithout  bool          // a street in the buyer's address
	secret         string
	fails, hangs   float64
	mu             sync.Mutex
	random         *rand.Rand
	failed, hanged int
}

func main() {
	var g gateway
	var listen string
	var seed uint64
	flag.StringVar(&listen, "listen", "", "serve HTTP at this `address`; without it, take one parcel from standard input")
	flag.StringVar(&g.state, "state", "", "keep parcels in this `folder`")
	flag.StringVar(&g.secret, "secret", "", "with which parcels are signed")
	flag.DurationVar(&g.clearAfter, "clear-after", 0, "clear a parcel after this time")
	flag.BoolVar(&g.needClearance, "need-clearance", false, "refuse credit notes that quote no clearance")
	flag.BoolVar(&g.refuseWithout, "need-street", false, "refuse invoices in UBL whose buyer has no street")
	flag.Float64Var(&g.fails, "fail", 0, "fail so often, from 0 to 1")
	flag.Float64Var(&g.hangs, "hang", 0, "so often take a parcel and never answer, from 0 to 1")
	flag.Uint64Var(&seed, "seed", 1, "what fails and hangs")
	flag.Parse()
	g.random = rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it is to be the same again
	if g.state == "" {
		log.Fatal("gateway: say with -state where parcels are kept")
	}
	if listen == "" {
		os.Exit(g.program())
	}
	l, err := net.Listen("tcp", listen) //nolint:noctx // it listens for as long as it runs
	if err != nil {
		log.Fatal("gateway: ", err)
	}
	fmt.Println(l.Addr()) // for whoever has started it
	log.Fatal((&http.Server{Handler: &g, ReadHeaderTimeout: 10 * time.Second}).Serve(l))
}

// take takes a parcel, once for each key, and returns what is to be said of it.
func (g *gateway) take(p *parcel) (answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	file := filepath.Join(g.state, "GW-"+filepath.Base(p.Key))
	k, err := read(file)
	if err != nil {
		k = kept{Key: p.Key, Number: p.Number, Kind: p.Kind, Quotes: p.Clearance, At: time.Now(), Refused: g.refuses(p), Repeated: -1}
	}
	k.Repeated++
	text, err := json.Marshal(k)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	return g.says(&k), err
}

// ask returns what is to be said of a parcel that was taken.
func (g *gateway) ask(id string) (answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, err := read(filepath.Join(g.state, filepath.Base(id)))
	return g.says(&k), err
}

func read(file string) (k kept, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err
}

func (g *gateway) says(k *kept) answer {
	switch {
	case k.Refused != "":
		return answer{"rejected", "GW-" + k.Key, k.Refused}
	case time.Since(k.At) < g.clearAfter:
		return answer{"sent", "GW-" + k.Key, ""}
	}
	return answer{"cleared", "CLR-" + k.Number, "cleared"}
}

// refuses returns why a parcel is refused, "" if it isn't.
func (g *gateway) refuses(p *parcel) string {
	if g.needClearance && p.Kind == "credit_note" && p.Clearance == "" {
		return "a credit note must quote the clearance of its invoice"
	}
	for i := range p.Documents {
		d := &p.Documents[i]
		if sum := sha256.Sum256(d.Content); hex.EncodeToString(sum[:]) != d.SHA256 {
			return d.Name + " is damaged"
		}
		var ubl struct {
			Street string `xml:"AccountingCustomerParty>Party>PostalAddress>StreetName"`
		}
		if g.refuseWithout && d.Format == "ubl" && (xml.Unmarshal(d.Content, &ubl) != nil || ubl.Street == "") {
			return "the buyer has no street"
		}
	}
	return ""
}

// fate draws whether a request fails or hangs.
func (g *gateway) fate() (fails, hangs bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	drawn := g.random.Float64()
	if fails = drawn < g.fails; fails {
		g.failed++
	}
	if hangs = !fails && drawn < g.fails+g.hangs; hangs {
		g.hanged++
	}
	return fails, hangs
}

// ServeHTTP is the contract by HTTPS: POST takes a parcel, GET of its id says what became of it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	if g.secret != "" {
		webhook, err := standardwebhooks.NewWebhook(g.secret)
		if err != nil || webhook.Verify(body, r.Header) != nil {
			http.Error(w, "the signature is wrong", http.StatusUnauthorized)
			return
		}
	}
	fails, hangs := g.fate()
	if fails {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "come again", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodGet {
		a, err := g.ask(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		if err != nil {
			http.NotFound(w, r)
			return
		}
		reply(w, http.StatusOK, a)
		return
	}
	var envelope struct {
		Data parcel `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Data.Key != r.Header.Get("Idempotency-Key") {
		http.Error(w, "no parcel", http.StatusBadRequest)
		return
	}
	a, err := g.take(&envelope.Data)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case hangs:
		<-r.Context().Done()
	case a.State == "rejected":
		reply(w, http.StatusUnprocessableEntity, a)
	default:
		reply(w, http.StatusAccepted, a)
	}
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // whoever asked may be gone
}

// program is the contract of a program: a parcel on standard input, its documents beside it, the answer on standard output and by the exit code.
func (g *gateway) program() int {
	text, err := io.ReadAll(os.Stdin)
	var p parcel
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(text)).Decode(&p)
	}
	for i := range p.Documents {
		if err == nil {
			p.Documents[i].Content, err = os.ReadFile(p.Documents[i].Name)
		}
	}
	var a answer
	if err == nil && p.Action == "ask" {
		a, err = g.ask(p.ID)
	} else if err == nil {
		a, err = g.take(&p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		return 75
	}
	_ = json.NewEncoder(os.Stdout).Encode(a)
	if a.State == "rejected" {
		return 65
	}
	return 0
}
