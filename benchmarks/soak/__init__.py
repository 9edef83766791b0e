"""Kills, flipped bits, suspensions and races at random, on every format, until time is up.

    python -m benchmarks.soak                          # an hour
    python -m benchmarks.soak --minutes 5 --seed 7

Trainings are killed too, if Keras is installed. On object storage, if s3fs and moto's S3 server are
installed, writers are killed, raced, and suspended until their lease has expired.

After each round the data set must be as an uninterrupted write leaves it, byte for byte, and the
model as an uninterrupted training does; a flipped bit must be detected or change nothing that is
read. Prints one line of counts, and exits with 1 if anything else happened. What a round does
depends on the seed and its number; when it does it depends on the machine too.
"""
