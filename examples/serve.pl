# One page over HTTP, for machines without python3 and busybox: perl serve.pl PORT FILE
use strict;
use IO::Socket::INET;
my ($port, $file) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 5, ReuseAddr => 1)
    or die "unable to listen on 127.0.0.1:$port: $!\n";
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    open my $page, '<', $file or next;
    local $/;
    print $client "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", <$page>;
}
