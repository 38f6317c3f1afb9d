# Keeps one temporary directory and the server in it, and outlives whoever started it:
#   $1  where the directory is made; its path is the one line of output
#   $2  the signal that ends the server
#   stdin  a line with the process id of each server that is started here, empty when it is gone again. It ends when
#          the last process that could start one has closed it or is dead, in whatever way.
#   3  ends when no process of the server is left
directory=$(mktemp -d "$1/invoicer-XXXXXX") || exit
echo "$directory"
exec >&-
process=
while read -r line; do process=$line; done
if [ -n "$process" ]; then
	kill -s "$2" "$process"
	kill -s CONT "$process"
fi 2>/dev/null
cat <&3 >/dev/null
# A Postgres that was killed leaves its process id file, and the shared memory that is named in there.
if [ -f "$directory/data/postmaster.pid" ]; then
	memory=$(sed -n '7s/.* //p' "$directory/data/postmaster.pid")
	[ -z "$memory" ] || ipcrm -m "$memory"
fi 2>/dev/null
rm -rf "$directory"
