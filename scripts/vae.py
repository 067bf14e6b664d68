"""Train an autoencoder of the top view whose latent space is to be a normal distribution: a variational one, or
one that a discriminator teaches.

    python scripts/vae.py --generator ideal --tracks 1 2 --out runs/vae
    python scripts/vae.py --kind vae_gan --start-from runs/vae --generator ideal --tracks 1 2 --out runs/vae_gan
    python scripts/vae.py --kind adversarial_autoencoder --generator ideal --tracks 1 2 --out runs/aae
    python scripts/vae.py --hint decoder --generator ideal --out runs/vae_hint

`vae/lib.py` says what each kind minimises. Saved is the network that copies an event by the mean of its
distribution, whose layers `encoder` and `decoder` are the two parts. The card has of test events what the copies
cost and how far the codes are from the prior (`pieces`, nats), how many dimensions are in use, the codes' moments
and two tests against the prior (`codes`), and the figures of merit of copies by number of tracks. The figures are
copies of test events, events drawn from the prior, and walks through latent space.
"""

import argparse

import numpy as np

import lib
import metrics
from datasets import batches, clustering_images, views
from my_generator import realistic

KINDS = ("vae", "vae_gan", "adversarial_autoencoder")
NETWORKS = ("small", "first", "second")
HINTS = ("none", "encoder", "decoder")
OUTPUTS = "logit that a cell is lit"
N_SHOWN = 16  # events of a figure
N_TOLD_APART = 8192  # codes at most of the tests against the prior


def parse_args(argv=None):
    parents = [lib.run_arguments(epochs=12)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=parents)
    add = parser.add_argument
    add("--kind", choices=KINDS, default="vae", help="(default: %(default)s)")
    networks_help = "first and second are the published ones (default: %(default)s)"
    add("--networks", choices=NETWORKS, default="small", help=networks_help)
    add(
        "--latent",
        type=lib.at_least(1),
        default=16,
        help="dimensions of the code (default: %(default)s)",
    )
    hint_help = "which network is given the true number of tracks (default: %(default)s)"
    add("--hint", choices=HINTS, default="none", help=hint_help)
    cells_help = "what a copy costs; a mean lets the posteriors collapse (default: %(default)s)"
    add("--over-cells", choices=("sum", "mean"), default="sum", help=cells_help)
    add("--hit-weight", type=float, default=1.0, help="of lit cells in that (default: %(default)s)")
    warm_help = "share of the training in which the weight of the divergence grows to 1 (default: %(default)s)"
    add("--warm-up", type=float, default=0.3, help=warm_help)
    bits_help = "nats that a dimension may hold at no cost (default: %(default)s)"
    add("--free-bits", type=float, default=0.1, help=bits_help)
    gamma_help = "of vae_gan's decoder: weight of copying against fooling (default: %(default)s)"
    add("--gamma", type=float, default=1.0, help=gamma_help)
    pixel_help = (
        "of vae_gan: weight of the cells' cross-entropy beside the features' (default: %(default)s)"
    )
    add("--pixel-weight", type=float, default=0.0, help=pixel_help)
    start_help = "begin with encoder and decoder of a run of this script"
    add("--start-from", metavar="MODEL", help=start_help)
    tracks_help = "of fresh events (default: 1 2 3 4)"
    add(
        "--tracks",
        type=lib.at_least(1),
        nargs="+",
        default=[1, 2, 3, 4],
        metavar="N",
        help=tracks_help,
    )
    lib.generator_arguments(parser, (*realistic.RESPONSES, *realistic.MIXES))
    defaults = {"generator": "mix", "val_events": 2048, "test_events": 8192, "epoch_events": 16384}
    parser.set_defaults(target="cells", answers="copy", learning_rate=2e-3, **defaults)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    lib.start_run(args)

    import inference
    from vae import my_dataset_with_hint
    from vae.lib import copy_network

    steps = args.epoch_events // args.batch_size
    with lib.choose_strategy(args).scope():
        model = build(args, args.epochs * steps)
        network = copy_network(model.encoder, model.decoder, name=args.kind)
        if args.start_from:
            lib.start_from(network, args.start_from)
    task = my_dataset_with_hint.task() if args.hint != "none" else clustering_images.task("copy")
    data = batches.load(
        task, realistic.generator(args.generator, args.tracks), **lib.data_settings(args)
    )
    lib.fit(model, data, args, steps)

    scores = inference.test_images(lib.in_float32(network), data.val_events, data.tests, "copy")
    for name, events in data.tests.items():
        tested = batches.from_events(task, events, args.batch_size)
        scores[name]["pieces"] = model.evaluate(tested, return_dict=True, verbose=0)
        scores[name]["codes"] = test_codes(model, events, args.seed)
    lib.finish(lib.in_float32(network), args, scores, data.description, OUTPUTS)
    draw(model, data.tests["test"], scores["test"]["threshold"], args)
    print(f"{metrics.describe_cells(scores['test'])}\n{describe(scores['test'])}\nin {args.out}")
    return scores


def build(args, n_steps):
    """The model that trains, compiled."""
    from vae import decoders, discriminators, encoders
    from vae import lib as models

    n_hints = {name: clustering_images.N_HINTS * (args.hint == name) for name in HINTS}
    make_encoder = getattr(encoders, f"{args.networks}_encoder")
    make_decoder = getattr(decoders, f"{args.networks}_decoder")
    variational = args.kind != "adversarial_autoencoder"
    encoder = make_encoder(
        n_latent=args.latent, variational=variational, n_hints=n_hints["encoder"]
    )
    decoder = make_decoder(n_latent=args.latent, n_hints=n_hints["decoder"])
    rate = decaying(args.learning_rate, n_steps)
    if args.kind == "vae":
        model = models.VariationalAutoencoder(
            encoder,
            decoder,
            over_cells=args.over_cells,
            hit_weight=args.hit_weight,
            warm_up_steps=int(args.warm_up * n_steps),
            free_bits=args.free_bits,
            seed=args.seed,
        )
        model.compile(adam(rate))
    elif args.kind == "vae_gan":
        discriminator = discriminators.image_discriminator()
        options = {
            "gamma": args.gamma,
            "pixel_weight": args.pixel_weight,
            "free_bits": args.free_bits,
        }
        model = models.VaeGan(encoder, decoder, discriminator, seed=args.seed, **options)
        model.compile(adam(rate), adam(rate, 0.5), adam(2e-4, 0.5))
    else:
        discriminator = discriminators.latent_discriminator(args.latent)
        model = models.AdversarialAutoencoder(
            encoder, decoder, discriminator, hit_weight=args.hit_weight, seed=args.seed
        )
        model.compile(
            adam(rate), adam(decaying(args.learning_rate / 4, n_steps), 0.5), adam(5e-4, 0.5)
        )
    return model


def adam(rate, beta_1=0.9):
    import keras

    return keras.optimizers.Adam(rate, beta_1, clipnorm=1.0)


def decaying(rate, n_steps):
    """A short warm-up, then a cosine to a hundredth."""
    import keras

    warm_up = max(1, min(300, n_steps // 10))
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, n_steps - warm_up), alpha=0.01, warmup_target=rate, warmup_steps=warm_up
    )


# ---- what is in latent space -------------------------------------------------------------------------------


def test_codes(model, events, seed=0):
    """What `metrics_latent` says of the codes of events; of distributions a sample each is tested."""
    import metrics_latent

    seen = look(model, events)
    codes = seen["mean"]
    if "log_variance" in seen:
        noise = np.random.default_rng(seed).normal(size=codes.shape)
        codes = codes + np.exp(0.5 * seen["log_variance"]) * noise
    tested = codes[:N_TOLD_APART]
    return {
        **metrics_latent.spread(seen["mean"]),
        "moments": metrics_latent.moments(codes),
        "against_prior": metrics_latent.against_prior(tested, seed),
    }


def look(model, events):
    """What the encoder says of events, name -> (event, n_latent)."""
    arrays = {"padded": views.padded_view(events), "hint": clustering_images.hint(events)}
    return model.encoder.predict(
        {name: arrays[name] for name in names_of(model.encoder)}, verbose=0
    )


def names_of(network):
    return [tensor.name for tensor in network.inputs]


def light(model, points, n_tracks):
    """(point, 116, 12) probabilities of cells that the decoder makes of points, (point, n_latent); n_tracks:
    (point,), what a hint says.
    """
    from scipy.special import expit

    hints = np.arange(1, clustering_images.N_HINTS + 1) == np.asarray(n_tracks)[:, None]
    arrays = {"latent": np.asarray(points, np.float32), "hint": hints.astype(np.float32)}
    logits = model.decoder.predict(
        {name: arrays[name] for name in names_of(model.decoder)}, verbose=0
    )
    return expit(logits["cells"][..., 0])


def draw(model, events, threshold, args):
    """The three figures of a run."""
    import metrics_latent
    import plotting
    import plotting_latent

    some = events[:N_SHOWN]
    mean = look(model, events)["mean"]
    image = views.padded_view(some)[..., 0] > 0
    n_tracks = some.info["n_tracks"]
    lit = light(model, mean[: len(some)], n_tracks) >= threshold
    titles = [metrics.number_of(n) for n in n_tracks]
    copied = plotting_latent.copies(
        image, lit, titles, "Test events, and what their copies made of them"
    )
    plotting.save(copied, args.out / "copies.pdf")

    rng = np.random.default_rng(args.seed)
    points = rng.normal(size=(N_SHOWN, args.latent))
    n_tracks = np.resize(np.sort(args.tracks), N_SHOWN)
    titles = [metrics.number_of(n) for n in n_tracks] if args.hint == "decoder" else [""] * N_SHOWN
    drawn = light(model, points, n_tracks)
    figure = plotting_latent.probabilities(
        drawn, titles, heading="What the decoder makes of samples of the prior"
    )
    plotting.save(figure, args.out / "samples.pdf")

    steps = (-2, -1, 0, 1, 2)
    points, dimensions = metrics_latent.walk(mean, mean[0], steps)
    points = points.reshape(-1, args.latent)
    titles = [
        f"code {d}: {step:+d} σ" if step else "its copy" for d in dimensions for step in steps
    ]
    walked = light(model, points, np.full(len(points), events.info["n_tracks"][0]))
    heading = (
        "Walks through latent space, from the first test event, along the dimensions that vary most"
    )
    plotting.save(
        plotting_latent.probabilities(walked, titles, len(steps), heading), args.out / "walks.pdf"
    )


def describe(scores):
    """Lines for the terminal of pieces and codes."""
    pieces = ", ".join(f"{name} {value:.3f}" for name, value in scores["pieces"].items())
    codes = scores["codes"]
    apart = codes["against_prior"]["told_apart"]["accuracy"]
    use = f"{codes['active_units']} of {len(codes['variance_of_means'])} dimensions in use"
    return f"{pieces}\n{use}; {apart:.1%} of codes and samples of the prior are told apart (best: 50 %)"


if __name__ == "__main__":
    lib.run(main)
