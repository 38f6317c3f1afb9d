# docker build --build-arg VERSION=$(git describe --tags --always) -t invoicer .
FROM golang:1.26 AS build
WORKDIR /src
# The modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
# timetzdata puts the time zones for numbering.timezone into the binary.
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags timetzdata \
    -ldflags "-s -w -X main.version=${VERSION}" -o /invoicer ./cmd/invoicer

# No shell, no package manager, no libc: one file, and whom to trust for rediss:// and TLS to Postgres.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /invoicer /invoicer
USER 65532:65532
# Loopback would be the container's own, which no probe reaches. Nothing but health is served there without a token and TLS.
ENV INVOICER_HTTP_ADDR=:8080
EXPOSE 8080
ENTRYPOINT ["/invoicer"]
CMD ["worker"]
