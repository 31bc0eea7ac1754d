#!/usr/bin/perl
# circles.pl - no circle of calls between folders: which folder's objects need symbols of which other.
#
# circles.pl BUILD reads the product's objects with one nm. An include may only go down (tests/tidy.sh),
# so what is left to find is a call that goes up past the includes: a declaration typed again, a symbol
# found by name. Prints the circle with a symbol for each of its arrows, then `N passed, N failed`.
use strict;
use warnings;

my $build = shift // 'build';
my (%home, %wants, %folders);

open my $nm, '-|', "find $build/obj/common $build/obj/agent $build/obj/coordinator -name '*.o' -print0 | xargs -0 nm -A"
    or die "nm: $!";
while (<$nm>) {
    my ($object, $kind, $symbol) = m{^\Q$build\E/obj/(.+?)\.o:\s*(?:[0-9a-f]+)?\s+(\w)\s+(\S+)$} or next;
    my ($folder) = $object =~ m{^(.+)/[^/]+$} or next;

    next if $symbol eq 'main' || $object =~ m{/examples/};
    $folders{$folder} = 1;
    if ($kind eq 'U') { $wants{$folder}{$symbol} = 1 }
    elsif ($kind =~ /[A-Z]/) { $home{$symbol} = $folder }
}
close $nm or die "nm failed\n";
die "no objects below $build/obj: build first\n" unless %folders;

my %arrow; # from, to: a symbol
for my $from (keys %wants) {
    for my $symbol (sort keys %{ $wants{$from} }) {
        my $to = $home{$symbol} or next;
        $arrow{$from}{$to} //= $symbol if $to ne $from;
    }
}

# Whoever needs nobody that is left is taken out; what stays is on a circle, or above one.
my %left = map { $_ => 1 } keys %folders;
while (my @free = grep { my $f = $_; !grep { $left{$_} } keys %{ $arrow{$f} // {} } } keys %left) {
    delete @left{@free};
}

my $count = keys %folders;
if (!%left) {
    print "$count passed, 0 failed\n";
    exit 0;
}
my ($at) = sort keys %left;
my (@way, %seen);
until ($seen{$at}++) {
    push @way, $at;
    ($at) = sort grep { $left{$_} } keys %{ $arrow{$at} };
}
shift @way while $way[0] ne $at;
print "a circle of calls between folders:\n";
for my $i (0 .. $#way) {
    my $to = $way[($i + 1) % @way];
    print "  $way[$i] -> $to, by $arrow{$way[$i]}{$to}\n";
}
printf "%d passed, 1 failed\n", $count - @way;
exit 1;
